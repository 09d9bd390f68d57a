"""A question to an RPC is asked again after a passing failure.

The budget has the values that upstream settled on: 4 attempts, 0.5 s base, 5 s cap, jitter, 10 s a request, all within
a deadline.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

from dzbgp.ledger.errors import LedgerError, RpcStatusError, RpcTransportError
from dzbgp.ledger.rpc.failures import is_transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How long to try one question. Durations in seconds; `deadline_s` bounds everything, waits included."""

    attempts: int = 4
    base_s: float = 0.5
    cap_s: float = 5.0
    request_s: float = 10.0
    deadline_s: float = 30.0


async def retried(
    ask: Callable[[], Awaitable[T]], budget: RetryBudget, where: str, count: Callable[[], None]
) -> T:
    """Ask until there is an answer; raise the last LedgerError when the budget is used up.

    `where`: the RPC and the method. `count` is called before each attempt but the first.
    """
    now = asyncio.get_running_loop().time
    ends_at = now() + budget.deadline_s
    attempts = stamina.retry_context(
        on=lambda error: _backoff(error, ends_at - now()),
        attempts=budget.attempts,
        timeout=budget.deadline_s,
        wait_initial=budget.base_s,
        wait_max=budget.cap_s,
        wait_jitter=budget.base_s,
    )
    failure: LedgerError = RpcTransportError(f"{where}: no answer in {budget.deadline_s:g} s")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(ends_at):
            async for attempt in attempts:
                with attempt:
                    if attempt.num > 1:
                        count()
                    try:
                        return await ask()
                    except LedgerError as error:
                        failure = error
                        raise
    raise failure


def _backoff(error: Exception, left_s: float) -> bool | float:
    """Return whether to try again within `left_s`, or after how many seconds if the server asked for a wait."""
    if isinstance(error, RpcStatusError) and error.retry_after_s is not None and is_transient(error):
        # Coming back sooner would only prolong the limit; later is later than the caller can wait.
        if error.retry_after_s >= left_s:
            return False
        # With jitter: clients that were turned away together must not come back together.
        return error.retry_after_s + random.uniform(0, 0.25)  # noqa: S311
    return is_transient(error)
