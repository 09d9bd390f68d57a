"""What a pass has found and would do."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from solders.pubkey import Pubkey

from dzbgp.decision.guard import Guarded
from dzbgp.ledger.networks import Network, unencrypted
from dzbgp.ledger.program.instruction import Write, grown_len
from dzbgp.ledger.session import WriteResult
from dzbgp.models.decision import Action, Decision, UserMemory
from dzbgp.models.ledger import BgpStatus, ProgramData, SkippedAccount
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading
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
    guarded: Guarded
    seconds_per_slot: float
    transitions: Mapping[Pubkey, int]
    memories: Mapping[Pubkey, UserMemory]
    notes: tuple[str, ...]
    skipped_accounts: tuple[SkippedAccount, ...] = ()

    @property
    def writes(self) -> list[Write]:
        """What is to be written, a dry run's too."""
        return [write_of(decision) for decision in self.guarded.decisions if decision.action is Action.SUBMIT]

    def report(self, written: WriteResult, rpc_requests: int) -> Report:
        """Gives the report of the pass, with what became of its writes."""
        return Report(
            dry_run=self.dry_run,
            env=self.env,
            program_id=str(self.program_id),
            slot=self.slot,
            started_at=self.started_at,
            duration_s=time.monotonic() - self.started,
            devices=self.readings,
            decisions=tuple(self.guarded.decisions),
            submissions=written.submissions,
            transactions=written.transactions,
            rpc_requests=rpc_requests,
            seconds_per_slot=self.seconds_per_slot,
            transitions=self.transitions,
            memories=self.memories,
            skipped_accounts=self.skipped_accounts,
            notes=(*self.notes, *written.notes),
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


def write_of(decision: Decision) -> Write:
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
    )
