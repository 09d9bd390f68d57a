"""A fleet that stays, a new ledger for each run, and what must hold after a whole pass under faults."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from big_world import big_world
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from dzbgp.decision.rules import Rules
from dzbgp.errors import ExitCode
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import World
from dzbgp.ledger.errors import LedgerError
from dzbgp.ledger.program.accounts import decode_user
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.session import SessionOptions
from dzbgp.models.exit import exit_code_of
from dzbgp.models.report import Report
from dzbgp.models.submission import Outcome, Submission
from dzbgp.run import setup as run_command
from dzbgp.run.once import run_once
from dzbgp.run.request import Commitment, RunRequest

SLOT_MS = 5
REFUSALS = frozenset({"expired", "gone", "moved", "not-activated", "newer-report", "recreated"})
"""Why a write is not signed, or not signed again."""
LANDED = frozenset({Outcome.CONFIRMED, Outcome.FINALIZED})
BUDGET = RetryBudget(attempts=4, base_s=0.005, cap_s=0.02, request_s=0.3, deadline_s=1.5)


@dataclass(frozen=True)
class Site:
    """What all runs share: devices, their inventory, and keypairs."""

    world: World
    inventory: Path
    keypairs: Path
    signers: dict[str, Keypair]


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Four devices of three publishers, 56 users, 28 of them with news; one publisher has two transactions."""
    signers = World.default_publishers()
    publishers = {name: keypair.pubkey() for name, keypair in signers.items()}
    block = f"127.{random.randint(110, 250)}"
    world = big_world(4, 14, changed=0.75, publishers=publishers, block=block)
    with EosFleet.start(world.eos_devices()) as fleet:
        world = world.relocated(fleet.addresses)
        inventory = write_inventory(directory / "inventory", world)
        keypairs = directory / "keypairs"
        keypairs.mkdir(mode=0o700)
        for name, keypair in signers.items():
            file = keypairs / f"{name}.json"
            file.write_text(json.dumps(list(bytes(keypair))), encoding="ascii")
            file.chmod(0o600)
        yield Site(world, inventory, keypairs, signers)


@dataclass(frozen=True)
class Case:
    """One run: its faults and options."""

    name: str
    faults: tuple[Fault, ...]
    commitment: str = "confirmed"
    priority_fee: int = 0
    verify: bool = True
    dead_rpc_first: bool = False
    healthy_rpc: bool = False
    """A second RPC of the same ledger, which no fault concerns."""
    deadline_s: float = 4.0

    def __str__(self) -> str:
        return f"{self.name}: {self.commitment}, {[fault.to_json() for fault in self.faults]}"


@dataclass
class Run:
    """A case on a ledger of its own."""

    site: Site
    case: Case
    ledger: Ledger
    state: Path
    others: tuple[str, ...] = ()
    """The URLs of further RPCs of that ledger."""

    def request(self) -> RunRequest:
        case = self.case
        dead = ("http://127.0.0.1:9/dead",) if case.dead_rpc_first else ()
        return RunRequest(
            inventory=self.site.inventory,
            env="localnet",
            rpc_urls=(*dead, self.ledger.url, *self.others),
            keypairs=(self.site.keypairs,),
            commitment=Commitment(case.commitment),
            priority_fee=case.priority_fee,
            verify=case.verify,
            submit_timeout_s=case.deadline_s,
            rules=Rules(max_down=1.0),
            confirm_down_s=0.0,
            state=self.state,
        )

    def once(self) -> Report:
        return run_once(self.request())

    def per_user(self) -> dict[Pubkey, int]:
        return self.ledger.stats().per_user

    def moved(self) -> set[Pubkey]:
        """Users whom a fault has given another device, so that the program refuses to write to them."""
        return {
            spec.user.pubkey
            for spec in self.site.world.users
            if self._user(spec.user.pubkey)[1] != spec.user.device_pk
        }

    def _user(self, key: Pubkey) -> tuple[tuple[object, int], Pubkey, int]:
        data = self.ledger.account(key)
        assert data is not None
        user = decode_user(key, data)
        return (user.bgp_status, user.bgp_rtt_ns), user.device_pk, user.last_bgp_reported_at

    def check_report(self, report: Report) -> None:
        """Report and chain agree: once for what landed, never for what failed, at most once for what is pending."""
        per_user, expected = self.per_user(), self.site.world.expected()
        due = {decision.observation.user.pubkey: decision for decision in report.decisions}
        missing = {key: due[key] for key in expected if key in due and key not in report.submissions}
        reasons = sorted({f"{decision.reason}: {decision.detail}" for decision in missing.values()})
        refused = {key for key, decision in missing.items() if decision.reason in REFUSALS}
        assert set(report.submissions) | refused == set(expected), f"not written: {reasons}"
        assert not refused & set(report.submissions)
        assert not refused & set(per_user), f"written, and said not to be: {reasons}"
        for key, submission in report.submissions.items():
            if self._undone_unseen(report) and submission.outcome in LANDED and key not in per_user:
                continue
            told = f"{submission} landed {per_user.get(key, 0)} times"
            self._check_user(key, submission, per_user.get(key, 0), told)
        assert set(per_user) <= set(expected)
        outcomes = Counter(submission.outcome for submission in report.submissions.values())
        expired = any(missing[key].reason == "expired" for key in refused)
        incomplete = expired or outcomes[Outcome.FAILED] + outcomes[Outcome.PENDING] > 0
        code = ExitCode.PARTIAL if incomplete else ExitCode.OK
        assert exit_code_of(report) is code
        if code is ExitCode.OK and not self._undone_unseen(report):
            assert per_user == dict.fromkeys(set(expected) - refused, 1)

    def _undone_unseen(self, report: Report) -> bool:
        """A fork after the confirmation, and an RPC that cannot be read back from: the report says so."""
        forks = any(fault.kind is FaultKind.FORK for fault in self.case.faults)
        return forks and any("could not be read back" in note for note in report.notes)

    def _check_user(self, key: Pubkey, submission: Submission, times: int, told: str) -> None:
        if submission.outcome in LANDED:
            assert times == 1, told
            assert self._user(key)[0] == self.site.world.expected()[key], told
            assert submission.signature, told
        elif submission.outcome is Outcome.FAILED:
            assert times == 0, told
            assert submission.error, told
        else:
            assert times <= 1, told
            assert submission.signature, told
            assert submission.error, told

    def check_end(self) -> None:
        """After a clean pass everything is as it must be, and nobody was written twice."""
        moved, expected, per_user = self.moved(), self.site.world.expected(), self.per_user()
        # One who was moved was written once before that, or not at all.
        due = {key: per_user.get(key, 0) if key in moved else 1 for key in expected}
        assert per_user == {key: times for key, times in due.items() if times}, per_user
        assert max(per_user.values(), default=1) == 1, per_user
        for spec in self.site.world.users:
            key = spec.user.pubkey
            before = (spec.user.bgp_status, spec.user.bgp_rtt_ns)
            assert self._user(key)[0] == (expected[key] if due.get(key) else before), key
            if not due.get(key):
                assert self._user(key)[2] == spec.user.last_bgp_reported_at, key


@contextmanager
def running(place: Site, case: Case, directory: Path) -> Iterator[Run]:
    original = run_command._session_options

    def quick(request: RunRequest) -> SessionOptions:
        options = original(request)
        submit = replace(options.submit, poll_s=0.01, resend_s=0.05)
        return replace(options, submit=submit, budget=BUDGET)

    balances = {keypair.pubkey(): 10**10 for keypair in place.signers.values()}
    world = place.world
    with (
        pytest.MonkeyPatch.context() as patch,
        Ledger.start(
            world.accounts(),
            program_id=world.program_id,
            balances=balances,
            slot_ms=SLOT_MS,
            start_slot=world.now_slot,
            faults=case.faults,
        ) as ledger,
    ):
        patch.setattr(run_command, "_session_options", quick)
        others = (ledger.add_rpc(),) if case.healthy_rpc else ()
        yield Run(place, case, ledger, directory / "state.sqlite", others)


def carry_out(place: Site, case: Case, directory: Path) -> tuple[Report | None, Run]:
    """Does the pass under faults, checks it, and then a clean one, and checks the end."""
    with running(place, case, directory) as run:
        report: Report | None = None
        try:
            report = run.once()
        except LedgerError:
            # Exit code 1 promises that nothing was written.
            assert run.per_user() == {}
            assert "sendTransaction" not in run.ledger.stats().requests
        if report is not None:
            run.check_report(report)
        run.ledger.clear_faults()
        # Whatever is still on its way has landed or expired by then.
        run.ledger.advance(400)
        run.case = replace(case, commitment="confirmed", verify=True, deadline_s=20.0)
        clean = run.once()
        bad = {key: one for key, one in clean.submissions.items() if one.outcome not in LANDED}
        assert not bad, f"in the clean pass: {bad}"
        run.check_end()
        return report, run


def explained(case: Case) -> str:
    return f"under faults: {case}"


__all__ = ["Case", "Fault", "FaultKind", "Run", "Site", "carry_out", "explained", "running", "site"]
