"""The planted bugs are in functions that exist. `make planted` shows that each is found, and after how many seeds."""

import importlib
from operator import attrgetter

import pytest

from simulation.planted import BUGS


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_in_a_function_of_the_program(name: str) -> None:
    module, _, path = BUGS[name].place.partition(":")
    function = attrgetter(path)(importlib.import_module(module))
    with BUGS[name].planted():
        assert attrgetter(path)(importlib.import_module(module)) is not function
