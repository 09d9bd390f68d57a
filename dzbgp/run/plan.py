"""What a pass has found and would do."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from solders.pubkey import Pubkey

from dzbgp.console.words import amount
from dzbgp.decision.guard import Guarded
from dzbgp.ledger.networks import Network, unencrypted
from dzbgp.ledger.program.instruction import Write, grown_len
from dzbgp.ledger.session import WriteResult
from dzbgp.models.decision import Action, Decision, UserMemory
from dzbgp.models.ledger import BgpStatus, ProgramData, SkippedAccount
from dzbgp.models.report import Refusal, Report
from dzbgp.models.session import DeviceReading, Look
from dzbgp.run.request import PassOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass has found, and would do."""

    env: str
    program_id: Pubkey
    slot: int
    started_at: datetime
    started: float
    """Monotonic seconds."""
    dry_run: bool
    readings: tuple[DeviceReading, ...]
    look: Look
    """When the devices were asked, the first of them at least."""
    guarded: Guarded
    seconds_per_slot: float
    transitions: Mapping[Pubkey, int]
    memories: Mapping[Pubkey, UserMemory]
    notes: tuple[str, ...]
    skipped_accounts: tuple[SkippedAccount, ...] = ()

    @property
    def writes(self) -> list[Write]:
        """What is to be written, a dry run's too."""
        return [
            write_of(decision, self.look)
            for decision in self.guarded.decisions
            if decision.action is Action.SUBMIT
        ]

    def report(self, written: WriteResult, rpc_requests: int, *, is_of_earlier_pass: bool = False) -> Report:
        """Return the report of the pass, with the result of its writes.

        `is_of_earlier_pass`: the writes were decided by another pass, so what was refused of them says nothing about
        the decisions of this one.
        """
        refused = {} if is_of_earlier_pass else written.refused
        return Report(
            dry_run=self.dry_run,
            env=self.env,
            program_id=str(self.program_id),
            slot=self.slot,
            started_at=self.started_at,
            duration_s=time.monotonic() - self.started,
            devices=self.readings,
            decisions=tuple(not_signed(decision, refused) for decision in self.guarded.decisions),
            submissions=written.submissions,
            transactions=written.transactions,
            rpc_requests=rpc_requests,
            seconds_per_slot=self.seconds_per_slot,
            transitions=self.transitions,
            memories=self.memories,
            skipped_accounts=self.skipped_accounts,
            notes=(*self.notes, *written.notes, *_refused_notes(written.refused)),
        )


def _unsigned_notes(decisions: Sequence[Decision]) -> list[str]:
    """Says whose key is missing: users that are due, and stay as they are for want of it."""
    missing = Counter(
        decision.observation.device.metrics_publisher_pk
        for decision in decisions
        if decision.reason == "no-signer"
    )
    return [
        f"{count} users are due, and nobody here can sign for them: no keypair of publisher {publisher} (--keypair)."
        for publisher, count in missing.items()
    ]


def _rpc_notes(network: Network) -> list[str]:
    """Say which RPCs are asked without TLS across a network."""
    return [
        f"RPC {where} is not encrypted: anyone on the network path can read its URL and change its answers. Use https://."
        for where in unencrypted(network.rpc_urls)
    ]


def not_signed(decision: Decision, refused: Mapping[Pubkey, Refusal]) -> Decision:
    """Return the decision as it stands after the writes: what was refused before its signature is skipped."""
    refusal = refused.get(decision.observation.user.pubkey)
    if refusal is None:
        return decision
    detail = f"{decision.detail} Not written: {refusal.detail}."
    return replace(decision, action=Action.SKIP, reason=refusal.reason, detail=detail)


def _refused_notes(refused: Mapping[Pubkey, Refusal]) -> list[str]:
    """Say how many writes were decided and not signed."""
    counts = Counter(refusal.reason for refusal in refused.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    return [f"Decided but not signed: {amount(len(refused), 'user')} ({reasons})."] if refused else []


def _key_notes(data: ProgramData, options: PassOptions) -> list[str]:
    """Says which keypairs are of no use, and that a dry run had none."""
    if options.signers is None:
        return ["No keypair was given: what is shown could not be signed here (--keypair)."]
    publishers = {device.metrics_publisher_pk for device in data.devices.values()}
    return [
        f"Keypair {pubkey} is the metrics publisher of no device of this program."
        for pubkey in options.signers.keypairs
        if pubkey not in publishers
    ]


def write_of(decision: Decision, look: Look | None = None) -> Write:
    """Gives the write that a decision asks for. Raises ValueError when it decides nothing."""
    observation = decision.observation
    return Write(
        user=observation.user.pubkey,
        device=observation.device.pubkey,
        publisher=observation.device.metrics_publisher_pk,
        status=decision.status or BgpStatus.UNKNOWN,
        rtt_ns=decision.rtt_ns,
        grown_len=grown_len(observation.user),
        lamports=observation.user.lamports,
        seen=observation.user,
        look=look,
    )
