"""Which failures are worth asking again, and which are worth asking elsewhere."""

import pytest

from dzbgp.ledger.errors import (
    LedgerError,
    RpcError,
    RpcProtocolError,
    RpcSizeError,
    RpcStatusError,
    RpcTransportError,
)
from dzbgp.ledger.rpc.failures import is_about_request, is_transient, worth_raising


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, *range(520, 531)])
def test_a_status_that_passes_is_asked_again_here_and_elsewhere(status: int) -> None:
    error = RpcStatusError("x", status)
    assert is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 405, 410, 501, 505])
def test_a_status_about_this_rpc_is_asked_elsewhere_only(status: int) -> None:
    error = RpcStatusError("x", status)
    assert not is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize("code", [503, 429, 500, 502, 504, -32603, -32000, -32004, -32005, -32016, -32429])
def test_a_code_that_passes_is_asked_again_here_and_elsewhere(code: int) -> None:
    error = RpcError("x", code)
    assert is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize("code", [-32601, -32010, -32001, -32007, -32011, -32014, 401, 403])
def test_a_code_about_this_rpc_is_asked_elsewhere_only(code: int) -> None:
    error = RpcError("x", code)
    assert not is_transient(error)
    assert not is_about_request(error)


@pytest.mark.parametrize(
    "error",
    [
        RpcStatusError("x", 400),
        *(RpcError("x", code) for code in (-32700, -32600, -32602, -32002, -32003, -32015)),
    ],
)
def test_what_is_about_the_request_is_asked_of_nobody_else(error: LedgerError) -> None:
    assert is_about_request(error)
    assert not is_transient(error)


def test_an_answer_that_is_too_large_here_may_not_be_elsewhere() -> None:
    assert not is_transient(RpcSizeError("x"))
    assert not is_about_request(RpcSizeError("x"))


def test_of_all_rpcs_failures_the_one_that_may_pass_soonest_is_raised() -> None:
    token, busy, down = RpcStatusError("x", 401), RpcStatusError("x", 429, 60.0), RpcTransportError("x")
    assert worth_raising([down, token]) is down
    assert worth_raising([busy, down, token]) is down
    assert worth_raising([busy, token]) is busy
    assert worth_raising([token, RpcSizeError("y")]).args == ("y",)
    assert worth_raising([RpcProtocolError("z")]).args == ("z",)
