"""Bugs to be found: each puts one function of the program out of order, and names what the oracle must say.

They prove the simulation, not the program: an invariant that no bug can break is none. `make planted` prints how many
seeds each takes.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from dzbgp.errors import ExitCode

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


def _whole(right: Any) -> Any:
    @classmethod  # type: ignore[misc]
    def wrong(cls: Any, reading: Any, device: Any, users: Any) -> Any:
        answer = right.__func__(cls, reading, device, users)
        every = {**answer.vrfs, "vrf1": True, "vrf2": True}
        return replace(answer, vrfs=every, peopled=frozenset({*answer.peopled, "vrf1", "vrf2"}))

    return wrong


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
    "credulous": _bug(
        "2. ledgers that do not advance",
        "every RPC is believed, however old what it says",
        "stale-ledger hidden never-settles silent-at-rest",
        "dzbgp.ledger.rpc.credible:Credibility.doubt",
        _always(None),
    ),
    "first-rpc-only": _bug(
        "3. RPC failures",
        "every failure is taken for one of the request: no other RPC is asked",
        "never-settles",
        "dzbgp.ledger.rpc.pool:is_about_request",
        _always(True),
    ),
    "any-vrf": _bug(
        "4. reading",
        "a neighbor of the user's address counts, in whatever VRF it is",
        "unsupported",
        "dzbgp.decision.resolver:_Answer.find",
        lambda _: lambda answer, address, *_: list(answer.neighbors.get(address, ())),
    ),
    "lost-is-absent": _bug(
        "4. reading",
        "a VRF that the answer lacks is taken for one without the user's neighbor",
        "unsupported",
        "dzbgp.decision.resolver:_Answer.of",
        _whole,
    ),
    "first-look-counts": _bug(
        "4. reading",
        "the second look is taken and not used",
        "contradicted unsupported",
        "dzbgp.run.decider:confirmed_observation",
        lambda _: lambda first, *_: first.observation,
    ),
    "forgetful": _bug(
        "5. memory",
        "a write that may still land does not delay the next",
        "second-in-flight written-twice",
        "dzbgp.state.memory:Memory.in_flight_why",
        _always(""),
    ),
    "unjournalled": _bug(
        "5. memory",
        "a write that cannot be recorded is sent anyway",
        "second-in-flight",
        "dzbgp.state.store:Store.sent",
        _suppressed,
    ),
    "hasty-guard": _bug(
        "5. memory",
        "one pass is enough to let a mass through",
        "mass unsupported",
        "dzbgp.decision.guard:_is_released",
        _always(value=True),
    ),
    "unheeded-lock": _bug(
        "7. files",
        "a lock file that was removed while it was held is taken for held",
        "second-in-flight written-twice",
        "dzbgp.state.lock:DeviceLocks.is_intact",
        _always(value=True),
    ),
    "all-is-well": _bug(
        "6. what is said",
        "the exit code is always 0",
        "hidden hidden-device hidden-hold",
        "dzbgp.models.exit:ExitReason.code",
        lambda _: property(lambda _: ExitCode.OK),  # type: ignore[return-value, arg-type]
    ),
    "raw-words": _bug(
        "6. what is said",
        "the words of an RPC are shown as they come",
        "secret unprintable",
        "dzbgp.ledger.secrets:Redactor.text",
        lambda _: lambda _self, words: str(words),
    ),
}
