"""What the lab's ledger can be made to do wrong, and which request is hit by it."""

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from solders.pubkey import Pubkey


class FaultKind(StrEnum):
    """A way to fail. Those of the transport come first; "executed" means that the request had its effect."""

    HTTP_STATUS = "http_status"
    """Answers `status`, with Retry-After when `retry_after_s` is set; executed only with `executed=True`."""
    GARBAGE = "garbage"
    """Answers 200 with a body that is not JSON; executed only with `executed=True`."""
    TRUNCATED = "truncated"
    """Executes, announces the whole answer, sends half of it and closes."""
    HANGUP_BEFORE = "hangup_before"
    """Closes without an answer; not executed."""
    HANGUP_AFTER = "hangup_after"
    """Executes, then closes without an answer."""
    WRONG_ID = "wrong_id"
    """Executes and answers under another request's id."""
    DELAY = "delay"
    """Executes at once, answers `delay_s` later."""
    STALL = "stall"
    """Nothing is executed or answered for `delay_s` from the first hit on; then all that waits goes on.
    `times` has no meaning here."""

    RPC_ERROR = "rpc_error"
    """Answers the JSON-RPC error `code`, `message`, `data`; not executed."""
    NULL_ID = "null_id"
    """Answers the same error with `"id": null`, as for a request that could not be read; not executed."""
    NODE_BEHIND = "node_behind"
    """Answers -32005: the node is `slots` slots behind; not executed."""
    LOST_SEND = "lost_send"
    """sendTransaction answers with the signature, but the transaction never lands."""
    DELAYED_SEND = "delayed_send"
    """sendTransaction answers; the transaction lands `slots` slots later, if its blockhash lives then."""
    EXPIRE_BLOCKHASH = "expire_blockhash"
    """The cluster moves on by `slots` slots (default: a blockhash's life), then the request is executed."""
    REJECT_USER = "reject_user"
    """Moves `user` (or the first user of the transaction) to another device, so that the program refuses it:
    before the preflight, or with `by_confirmation=True` between preflight and landing. It stays so."""
    EMPTY_ACCOUNTS = "empty_accounts"
    """getProgramAccounts finds nothing."""
    STALE_SLOT = "stale_slot"
    """Answers from the state `slots` slots ago: a node that lags."""
    FROZEN_SLOT = "frozen_slot"
    """From the first hit on, answers from the state of that moment: a frozen node."""
    ABSURD_SLOT = "absurd_slot"
    """Claims to answer from slot `slots` (default: 2^60)."""
    SHIFTED_CLOCK = "shifted_clock"
    """The Clock sysvar is `delay_s` ahead; negative: behind."""
    NO_CLOCK = "no_clock"
    """Neither the Clock sysvar nor the time of any block is there."""
    ABSURD_SAMPLES = "absurd_samples"
    """getRecentPerformanceSamples says `slots` slots a minute."""
    BLIND_STATUSES = "blind_statuses"
    """getSignatureStatuses knows no signature."""
    FORK = "fork"
    """What landed in the last `slots` slots, and is not final, is undone before the request is executed."""


DEFAULT_SLOTS = {
    FaultKind.NODE_BEHIND: 120,
    FaultKind.DELAYED_SEND: 5,
    FaultKind.EXPIRE_BLOCKHASH: 151,
    FaultKind.STALE_SLOT: 50,
    FaultKind.ABSURD_SLOT: 2**60,
    FaultKind.ABSURD_SAMPLES: 1,
    FaultKind.FORK: 2,
}

DEFAULT_METHOD = {
    FaultKind.LOST_SEND: "sendTransaction",
    FaultKind.DELAYED_SEND: "sendTransaction",
    FaultKind.REJECT_USER: "sendTransaction",
    FaultKind.EMPTY_ACCOUNTS: "getProgramAccounts",
    FaultKind.BLIND_STATUSES: "getSignatureStatuses",
    FaultKind.ABSURD_SAMPLES: "getRecentPerformanceSamples",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. The requests that it concerns are counted; `after` of them pass, then `times` are hit."""

    kind: FaultKind
    method: str | None = None
    """The RPC method that is concerned; None: all of them, or the one that the kind is about."""
    times: int | None = 1
    """How many requests are hit; None: all."""
    after: int = 0
    """How many requests pass first."""
    user: Pubkey | None = None
    """Concerns only requests that name this account, in their parameters or in their transaction."""
    status: int = 503
    retry_after_s: float | None = None
    code: int = -32603
    message: str = "Internal error"
    data: Any = None
    delay_s: float = 0.0
    slots: int | None = None
    """A number of slots; None: the kind's own default."""
    by_confirmation: bool = False
    executed: bool = False

    @property
    def slot_count(self) -> int:
        """Return `slots`, or the kind's default."""
        return DEFAULT_SLOTS.get(self.kind, 0) if self.slots is None else self.slots

    def concerns(self, method: str, accounts: frozenset[Pubkey]) -> bool:
        """Return whether a request of `method` that names `accounts` is one of those that are counted."""
        wanted = self.method or DEFAULT_METHOD.get(self.kind)
        return wanted in (None, method) and (self.user is None or self.user in accounts)

    def to_json(self) -> dict[str, Any]:
        """Return the fault as labInject takes it: what differs from the defaults."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {
            name: value for name, value in values.items() if value != self.__dataclass_fields__[name].default
        }
        return {**plain, "kind": str(self.kind)} | ({"user": str(self.user)} if self.user else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `to_json` wrote. Raises ValueError or TypeError when it is not a fault."""
        user = value.get("user")
        changes: dict[str, Any] = {"kind": FaultKind(value.get("kind", ""))}
        if user is not None:
            changes["user"] = Pubkey.from_string(user)
        return cls(**{**value, **changes})


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0


@dataclass(slots=True)
class FaultBox:
    """The faults of one ledger, and how often each kind has hit."""

    hits: Counter[FaultKind] = field(default_factory=Counter)
    _armed: list[_Armed] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Arm a fault; those that were armed earlier are asked first."""
        self._armed.append(_Armed(replace(fault)))  # armed twice, it is two faults

    @property
    def by_account(self) -> bool:
        """Return whether any fault concerns one account only."""
        return any(armed.fault.user is not None for armed in self._armed)

    def clear(self) -> None:
        """Disarm everything. What a fault has changed stays changed."""
        self._armed.clear()

    def take(self, method: str, accounts: frozenset[Pubkey]) -> list[Fault]:
        """Return the faults that hit this request; each counts it."""
        hitting = []
        for armed in self._armed:
            fault = armed.fault
            if not fault.concerns(method, accounts):
                continue
            armed.seen += 1
            endless = fault.times is None or fault.kind is FaultKind.STALL
            if armed.seen > fault.after and (endless or armed.seen <= fault.after + (fault.times or 0)):
                hitting.append(fault)
                self.hits[fault.kind] += 1
        return hitting
