"""What leaves a worker, and what does not."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Host, ParentGroups
from nornir.core.task import MultiResult, Result

from dzbgp.fleet.dask.pickling import RemoteError, pack, unpack

CANARY = "canary-of-the-devices-41c7"


def host(name: str = "ams-1") -> Host:
    """A host that holds its password wherever a host can."""
    group = Group("edge", password=CANARY)
    options = {"napalm": ConnectionOptions(password=CANARY, extras={"optional_args": {"enable": CANARY}})}
    return Host(
        name,
        hostname="127.0.0.1",
        password=CANARY,
        groups=ParentGroups([group]),
        data={"secret": CANARY},
        connection_options=options,
        defaults=Defaults(password=CANARY),
    )


def results(*values: Any, exception: BaseException | None = None) -> MultiResult:
    made = MultiResult("a task")
    for value in values:
        made.append(Result(host(), result=value, exception=exception, failed=exception is not None))
        made[-1].name = "a task"  # type: ignore[assignment]
    return made


def there_and_back(sent: MultiResult) -> tuple[bytes, MultiResult, Host]:
    here = Host("ams-1")
    data = pack(sent)
    return data, unpack(data, {"ams-1": here}.get), here


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_results_arrive_as_they_were(value: object) -> None:
    _, arrived, here = there_and_back(results(value, "of a subtask"))
    assert [one.result for one in arrived] == [value, "of a subtask"]
    assert [one.host for one in arrived] == [here, here]
    assert {arrived.name, str(arrived[0].name)} == {"a task"}


@pytest.mark.parametrize("where", [lambda one: one, lambda one: [one], lambda one: {"deep": (one, 1)}])
def test_a_host_travels_as_its_name_wherever_it_is(where: Any) -> None:
    data, arrived, here = there_and_back(results(where(host())))
    assert CANARY.encode() not in data
    assert arrived[0].result == where(here)


@pytest.mark.parametrize(
    "kept",
    [
        host().groups[0],
        host().defaults,
        host().connection_options,
        [host().get_connection_parameters("napalm")],
        threading.Lock(),
    ],
    ids=["group", "defaults", "connection options", "resolved options", "lock"],
)
def test_what_can_not_travel_makes_a_result_that_failed_and_says_so(kept: object) -> None:
    data, arrived, here = there_and_back(results(kept))
    assert CANARY.encode() not in data
    assert arrived[0].failed
    assert arrived[0].host is here
    assert "the result cannot be sent back by the worker" in arrived[0].result
    assert isinstance(arrived[0].exception, RemoteError)


class OwnError(Exception):
    """An exception that can't be made again of its arguments, and that carries more than them."""

    def __init__(self, request: object, text: str, more: int) -> None:
        super().__init__(text)
        self.request = request
        self.more = more


def test_an_exception_arrives_as_its_class_with_its_cause_and_without_what_it_carries() -> None:
    error = ConnectionRefusedError(111, "refused")
    error.__cause__ = error.__context__ = KeyError("peers")
    error.request = CANARY  # type: ignore[attr-defined]
    data, arrived, _ = there_and_back(results("tb", exception=error))
    found = arrived[0].exception
    assert CANARY.encode() not in data
    assert type(found) is ConnectionRefusedError
    assert found.args == (111, "refused")
    assert found.errno == 111
    assert type(found.__cause__) is KeyError
    assert type(found.__context__) is KeyError
    assert found.__suppress_context__


def test_an_exception_that_can_not_be_made_again_is_told_by_name_and_words() -> None:
    error = OwnError({"authorization": CANARY}, "it broke", 3)
    data, arrived, _ = there_and_back(results("tb", exception=error))
    assert CANARY.encode() not in data
    assert isinstance(arrived[0].exception, RemoteError)
    assert str(arrived[0].exception) == f"{OwnError.__module__}.OwnError: it broke"


def test_an_endless_chain_of_exceptions_ends() -> None:
    error: BaseException = ValueError("first")
    error.__context__ = error
    _, arrived, _ = there_and_back(results("tb", exception=error))
    assert str(arrived[0].exception) == "first"
