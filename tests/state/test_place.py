from pathlib import Path

import pytest
from core_builders import key
from small_world import PROGRAM

from dzbgp.state.place import state_path

NOWHERE = Path("/no/where")


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"HOME": "/x", "STATE_DIRECTORY": "/run/one:/run/two", "XDG_STATE_HOME": "/y"}, "/run/one"),
        ({"XDG_STATE_HOME": "/y"}, "/y/dzbgp"),
        ({}, str(Path("~/.local/state/dzbgp").expanduser())),
    ],
)
def test_the_place_is_the_services_else_the_users(environ: dict[str, str], place: str) -> None:
    assert state_path(None, PROGRAM, environ, NOWHERE) == Path(place) / f"{PROGRAM}.sqlite"


def test_a_system_directory_that_can_be_written_comes_before_the_users(tmp_path: Path) -> None:
    assert state_path(None, PROGRAM, {}, tmp_path).parent == tmp_path
    assert state_path(None, PROGRAM, {"STATE_DIRECTORY": "/run/one"}, tmp_path).parent == Path("/run/one")


def test_what_is_given_is_taken_and_each_program_has_a_file_of_its_own() -> None:
    assert state_path(Path("s"), PROGRAM, {"STATE_DIRECTORY": "/run/one"}) == Path("s")
    assert state_path(None, PROGRAM, {}, NOWHERE) != state_path(None, key(9), {}, NOWHERE)
