"""Bugs to be found: each puts one function of the program out of order, and names what the oracle must say.

They prove the simulation, not the program: an invariant that no bug can break is none. `make planted` prints how many
seeds each takes.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dzbgp.errors import ExitCode
from dzbgp.models.in_flight import Fate, Settled

Replace = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Given the right function, the wrong one."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug: what it breaks, the findings that count as found, and the function that it is in."""

    section: str
    words: str
    findings: frozenset[str]
    place: str
    """module:name, or module:Class.name."""
    wrong: Replace

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug while inside."""
        module, _, path = self.place.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, name = path.split(".")
        for one in classes:
            owner = getattr(owner, one)
        right = owner.__dict__[name]
        setattr(owner, name, self.wrong(right))
        try:
            yield
        finally:
            setattr(owner, name, right)


def _bug(section: str, words: str, findings: str, place: str, wrong: Replace) -> Bug:
    return Bug(section, words, frozenset(findings.split()), place, wrong)


def _always(value: Any) -> Replace:
    return lambda _: lambda *_, **__: value


def _suppressed(right: Callable[..., Any]) -> Callable[..., Any]:
    def wrong(*args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(Exception):
            right(*args, **kwargs)

    return wrong


BUGS = {
    "unasked": _bug(
        "1. decisions have an age",
        "whatever was decided is signed, whoever has reported or was banned since",
        "not-activated over-newer-report unsupported",
        "dzbgp.run.authorize:refusal",
        _always(None),
    ),
    "ageless": _bug(
        "1. decisions have an age",
        "a decision never grows too old",
        "unsupported",
        "dzbgp.run.authorize:decision_age_s",
        _always(0.0),
    ),
    "first-rpc-only": _bug(
        "3. RPC failures",
        "every failure is taken for one of the request: no other RPC is asked",
        "never-settles",
        "dzbgp.ledger.rpc.transport:is_about_request",
        _always(True),
    ),
    "forgetful": _bug(
        "5. memory",
        "a signature that a node does not know has not landed",
        "written-twice second-in-flight",
        "dzbgp.ledger.submit.fates:settle",
        _always(Settled(Fate.EXPIRED)),
    ),
    "unjournalled": _bug(
        "5. memory",
        "what cannot be noted is sent all the same",
        "second-in-flight",
        "dzbgp.state.store:History.sent",
        _suppressed,
    ),
    "all-is-well": _bug(
        "6. what is said",
        "the exit code is always 0",
        "hidden hidden-device hidden-hold",
        "dzbgp.models.report:ExitReason.code",
        lambda _: property(lambda _: ExitCode.OK),  # type: ignore[return-value, arg-type]
    ),
    "raw-words": _bug(
        "6. what is said",
        "the words of an RPC are shown as they come",
        "secret unprintable",
        "dzbgp.ledger.rpc.failures:Redactor.text",
        lambda _: lambda _self, words: str(words),
    ),
}
