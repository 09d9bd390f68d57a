"""What a pass has found and decided, and the notes that go with it."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from solders.pubkey import Pubkey

from dzbgp.console.words import amount
from dzbgp.decision.memory import flaps
from dzbgp.decision.policy import withheld
from dzbgp.ledger.networks import Network, unencrypted
from dzbgp.ledger.program.instruction import Write, grown_len
from dzbgp.ledger.session import WriteResult
from dzbgp.models.decision import Decision, Decisions
from dzbgp.models.ledger import BgpStatus, ProgramData, SkippedAccount
from dzbgp.models.memory import UserMemory
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading
from dzbgp.models.submission import Refusal
from dzbgp.run.decider import Decider
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import OtherWriters


@dataclass(frozen=True, slots=True)
class Started:
    """When a pass began."""

    at: datetime
    monotonic_s: float

    @classmethod
    def now(cls) -> Self:
        """Return the present moment."""
        return cls(datetime.now(UTC), time.monotonic())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass has found and decided."""

    network: Network
    slot: int
    started: Started
    dry_run: bool
    readings: tuple[DeviceReading, ...]
    decisions: Decisions
    seconds_per_slot: float
    transitions: Mapping[Pubkey, int]
    memories: Mapping[Pubkey, UserMemory]
    notes: tuple[str, ...]
    skipped_accounts: tuple[SkippedAccount, ...] = ()
    is_interrupted: bool = False
    """Whether it ended before all was decided."""
    ledger_doubt: str = ""
    has_state: bool = True

    def report(self, written: WriteResult, rpc_requests: int, *, is_of_earlier_pass: bool = False) -> Report:
        """Return the report of the pass, with the result of its writes.

        `is_of_earlier_pass`: the writes were decided by another pass, so what was refused of them says nothing about
        the decisions of this one.
        """
        refused = {} if is_of_earlier_pass else written.refused
        return Report(
            dry_run=self.dry_run,
            env=self.network.name,
            program_id=str(self.network.program_id),
            slot=self.slot,
            started_at=self.started.at,
            duration_s=time.monotonic() - self.started.monotonic_s,
            devices=self.readings,
            decisions=tuple(not_signed(decision, refused) for decision in self.decisions.values()),
            submissions=written.submissions,
            are_of_earlier_passes=is_of_earlier_pass and not self.dry_run,
            transactions=written.transactions,
            rpc_requests=rpc_requests,
            is_interrupted=self.is_interrupted or written.is_interrupted,
            seconds_per_slot=self.seconds_per_slot,
            transitions=self.transitions,
            memories=self.memories,
            skipped_accounts=self.skipped_accounts,
            ledger_doubt=self.ledger_doubt,
            has_state=self.has_state,
            notes=(*self.notes, *written.notes, *_refused_notes(written.refused)),
        )


def plan_of(
    started: Started,
    network: Network,
    readings: Sequence[DeviceReading],
    decisions: Decisions,
    decider: Decider,
    fleet_notes: Sequence[str],
    stopped: str,
) -> Plan:
    """Return what a pass has found and decided. `stopped`: why it ended before all was decided."""
    memory, options, data = decider.memory, decider.options, decider.data
    window_s, now = options.rules.flap_window_s, decider.clock.now
    return Plan(
        network=network,
        slot=data.slot,
        started=started,
        dry_run=options.dry_run,
        readings=tuple(readings),
        decisions=decisions,
        seconds_per_slot=decider.clock.seconds_per_slot,
        transitions={
            user: count for user in decisions if (count := flaps(memory.users.get(user), now, window_s))
        },
        memories={
            user: known
            for user, decision in decisions.items()
            if (known := memory.users.get(user)) is not None
            and (known.transitions or decision.reason in {"guard", "other-writer"} or decision.is_write)
        },
        skipped_accounts=data.skipped,
        notes=(
            *data.notes,
            *(f"{reading.host}: {note}." for reading in readings for note in reading.notes),
            *_rpc_notes(network),
            *_key_notes(data, options),
            *_unsigned_notes(decisions.values()),
            *_tunnel_notes(decisions.values()),
            *fleet_notes,
            *_other_writer_notes(decider.others, data),
            *memory.notes(decisions.keys(), decider.clock, options.rules),
            *([f"The pass ended early, after a part of the writes: {stopped}."] if stopped else []),
        ),
        is_interrupted=bool(stopped),
        ledger_doubt=decider.fetched.doubt,
        has_state=memory.is_kept,
    )


def left_alone(decision: Decision, why: str) -> Decision:
    """Return the decision of a user that was due when a pass ended early."""
    return withheld(decision, "expired", f"the pass ended before the second look ({why})")


def write_of(decision: Decision) -> Write:
    """Return the write that a decision asks for. Raises ValueError when it decides nothing."""
    user = decision.observation.user
    return Write(
        user=user.pubkey,
        device=decision.observation.device.pubkey,
        publisher=decision.publisher,
        status=decision.status or BgpStatus.UNKNOWN,
        rtt_ns=decision.rtt_ns,
        grown_len=grown_len(user),
        lamports=user.lamports,
        seen=user,
        look=decision.look,
    )


def _unsigned_notes(decisions: Iterable[Decision]) -> list[str]:
    """Return which keys are missing, each with the number of users that are due and cannot be written."""
    missing = Counter(decision.publisher for decision in decisions if decision.reason == "no-signer")
    return [
        f"Due, but not signed: {amount(count, 'user')}: no keypair of publisher {publisher} (--keypair)."
        for publisher, count in missing.items()
    ]


def _rpc_notes(network: Network) -> list[str]:
    """Return which RPCs are asked without TLS across a network."""
    return [
        f"RPC {where} is not encrypted: anyone on the network path can read its URL and change its answers. Use https://."
        for where in unencrypted(network.rpc_urls)
    ]


def not_signed(decision: Decision, refused: Mapping[Pubkey, Refusal]) -> Decision:
    """Return the decision after the writes: a write that was refused before its signature is skipped."""
    refusal = refused.get(decision.user)
    if refusal is None:
        return decision
    return withheld(decision, refusal.reason, refusal.detail)


def _refused_notes(refused: Mapping[Pubkey, Refusal]) -> list[str]:
    """Return how many writes were decided and not signed."""
    counts = Counter(refusal.reason for refusal in refused.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    return [f"Decided but not signed: {amount(len(refused), 'user')} ({reasons})."] if refused else []


def _key_notes(data: ProgramData, options: PassOptions) -> list[str]:
    """Return which keypairs are of no use, and that a dry run had none."""
    if options.signers is None:
        return ["No keypair was given: these writes cannot be signed here (--keypair)."]
    publishers = {device.metrics_publisher_pk for device in data.devices.values()}
    return [
        f"Keypair {pubkey} is the metrics publisher of no device of this program."
        for pubkey in options.signers.keypairs
        if pubkey not in publishers
    ]


def _tunnel_notes(decisions: Iterable[Decision]) -> list[str]:
    """Return how many users have a neighbor on the device's own side of the tunnel."""
    count = sum(decision.reason == "wrong-side" for decision in decisions)
    if not count:
        return []
    return [
        f"Unchanged: {amount(count, 'user')} with a neighbor on the even address of the tunnel, the device's own."
    ]


def _other_writer_notes(others: OtherWriters, data: ProgramData) -> list[str]:
    return [
        f"Another writer reports on {data.devices[device].code}: {amount(count, 'user')} reported by it since "
        f"our last write or pass, with the key of {data.devices[device].metrics_publisher_pk} "
        "(an agent on the device?)."
        for device, count in others.since_write.items()
    ]
