"""A ledger of the lab with writes to make on it, and what must hold after they were made."""

import asyncio
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from big_world import big_world
from msgspec.structs import replace
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from dzbgp.lab.solana.faults import Fault, FaultKind
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_user
from dzbgp.lab.world.world import World
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.accounts import USER_DEVICE_OFFSET, decode_user
from dzbgp.ledger.program.instruction import Write, grown_len
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.ledger.submit.journal import Journal
from dzbgp.ledger.submit.packing import TransactionBuilder
from dzbgp.ledger.submit.reread import Authorize, Reread
from dzbgp.ledger.submit.signers import Signers
from dzbgp.ledger.submit.submitter import SubmitOptions, Submitted, Submitter
from dzbgp.models.ledger import User
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look
from dzbgp.models.submission import Outcome, Refusal, Submission
from dzbgp.run.authorize import authorizer

T = TypeVar("T")
SECRET = "canary-0123456789abcdef"
FAST = RetryBudget(attempts=4, base_s=0.01, cap_s=0.05, request_s=1.0, deadline_s=3.0)
SOL = 10**9


def fast(**changes: Any) -> SubmitOptions:
    values: dict[str, Any] = {"poll_s": 0.01, "resend_s": 0.05, "deadline_s": 10.0, "interrupt_wait_s": 2.0}
    return SubmitOptions(**{**values, **changes})


@dataclass
class Stage:
    ledger: Ledger
    world: World
    keypairs: dict[str, Keypair]
    writes: list[Write] = field(default_factory=list)

    @property
    def signers(self) -> Signers:
        return Signers({keypair.pubkey(): keypair for keypair in self.keypairs.values()})

    @property
    def url(self) -> str:
        return f"{self.ledger.url}/{SECRET}?token={SECRET}"

    def network(self, *urls: str, genesis_hash: str | None = None) -> Network:
        return Network("localnet", self.world.program_id, urls or (self.url,), genesis_hash)

    def ask(self, question: Callable[[RpcClient], Awaitable[T]], *urls: str, budget: RetryBudget = FAST) -> T:
        async def run() -> T:
            async with RpcClient(self.network(*urls), budget=budget) as client:
                return await question(client)

        return asyncio.run(run())

    def submit(
        self,
        writes: Sequence[Write] | None = None,
        options: SubmitOptions | None = None,
        *,
        priority_fee: int = 0,
        budget: RetryBudget = FAST,
        meanwhile: Callable[[Submitter], Awaitable[None]] | None = None,
        journal: Journal | None = None,
        authorize: Authorize | None = None,
        **rule: Any,
    ) -> Submitted:
        async def run(client: RpcClient) -> Submitted:
            builder = TransactionBuilder(self.world.program_id, priority_fee)
            submitter = Submitter(
                client,
                self.signers,
                builder,
                options or fast(),
                authorize=authorize or authorizer(**rule),
                journal=journal,
            )
            aside = asyncio.ensure_future(meanwhile(submitter)) if meanwhile else None
            done = await submitter.submit(self.writes if writes is None else writes)
            if aside:
                await aside
            return done

        return self.ask(run, budget=budget)

    @contextmanager
    def session(
        self,
        *urls: str,
        genesis_hash: str | None = None,
        scope: Any = None,
        spare: Any = None,
        **options: Any,
    ) -> Iterator[LedgerSession]:
        values: dict[str, Any] = {"submit": fast(), "budget": FAST} | options
        network = self.network(*urls, genesis_hash=genesis_hash)
        with LedgerSession(network, SessionOptions(**values), scope, spare) as session:
            yield session

    def user(self, key: Pubkey) -> User:
        data = self.ledger.account(key)
        assert data is not None
        return decode_user(key, data)

    def recheck(self) -> None:
        """Decide the same writes again, on the users as they are now."""
        self.writes = writes_of(self.world, self.ledger)

    def inject(self, kind: FaultKind, **how: Any) -> None:
        self.ledger.inject(Fault(kind=kind, **how))

    def become_another_cluster(self) -> str:
        """Change the genesis hash of this ledger and return it; the lab has one hash for all its ledgers."""
        core = self.ledger._core
        assert core is not None
        genesis = str(self.keypairs["kestrel"].pubkey())
        core.server._rpc._methods["getGenesisHash"] = lambda: genesis
        return genesis

    def move(self, *numbers: int) -> None:
        """Move the users of some writes to another device, so that the program refuses to write to them."""
        for number in numbers:
            key = self.writes[number].user
            data = self.ledger.account(key)
            assert data is not None
            self.ledger.set_account(
                key, data[:USER_DEVICE_OFFSET] + bytes(32) + data[USER_DEVICE_OFFSET + 32 :]
            )

    def change(self, key: Pubkey, **changes: Any) -> None:
        """Change a user's account as another writer."""
        self.ledger.set_account(key, encode_user(replace(self.user(key), **changes)))

    def report_elsewhere(self, key: Pubkey, slot: int) -> None:
        """Lets the account say that it was reported in `slot`, by whomever."""
        user = self.user(key)
        data = encode_user(replace(user, last_bgp_reported_at=slot))
        assert len(data) == user.data_len
        self.ledger.set_account(key, data)

    def sent(self) -> int:
        return self.ledger.stats().requests.get("sendTransaction", 0)

    def check(self, submissions: dict[Pubkey, Submission], writes: Sequence[Write] | None = None) -> None:
        """What is reported is what is onchain: once for what landed, never for what failed."""
        per_user = self.ledger.stats().per_user
        for write in self.writes if writes is None else writes:
            submission, times = submissions[write.user], per_user.get(write.user, 0)
            told = f"{submission} landed {times} times"
            if submission.outcome in {Outcome.CONFIRMED, Outcome.FINALIZED}:
                assert times == 1, told
                found = self.user(write.user)
                assert (found.bgp_status, found.bgp_rtt_ns) == (write.status, write.rtt_ns), told
                assert found.last_bgp_reported_at == submission.slot, told
                assert submission.signature, told
            elif submission.outcome is Outcome.FAILED:
                assert times == 0, told
                assert submission.error, told
            else:
                assert times <= 1, told
                assert submission.signature, told
                assert submission.error, told


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it is about another thread's ledger
        await asyncio.sleep(0.005)


def exact(submissions: dict[Pubkey, Submission]) -> dict[str, int]:
    """How many of each outcome."""
    counts: dict[str, int] = {}
    for submission in submissions.values():
        counts[submission.outcome] = counts.get(submission.outcome, 0) + 1
    return counts


def outcomes(submissions: dict[Pubkey, Submission]) -> dict[str, int]:
    """The same, with `landed` for what is confirmed: on a busy machine it is final before anybody looks."""
    counts = exact(submissions)
    landed = counts.pop("confirmed", 0) + counts.pop("finalized", 0)
    return counts | ({"landed": landed} if landed else {})


@contextmanager
def stage(devices: int = 1, users: int = 5, *, balance: int = 10 * SOL, **ledger: Any) -> Iterator[Stage]:
    """Devices of up to three publishers, and about each of their users something to write."""
    keypairs = World.default_publishers()
    publishers = {name: keypair.pubkey() for name, keypair in keypairs.items()}
    world = big_world(devices, users, changed=1.0, publishers=publishers)
    settings: dict[str, Any] = {"slot_ms": 20, "start_slot": world.now_slot} | ledger
    balances = {keypair.pubkey(): balance for keypair in keypairs.values()}
    with Ledger.start(
        world.accounts(), program_id=world.program_id, balances=balances, **settings
    ) as running:
        yield Stage(running, world, keypairs, writes_of(world, running, settings.get("confirmed_after", 1)))


def anything(_writes: Sequence[Write], _reread: Reread) -> dict[Pubkey, Refusal]:
    """Authorize whatever is asked for: for what only the program refuses."""
    return {}


def reasons(done: Submitted) -> dict[str, int]:
    """How many writes were refused, by reason."""
    return dict(Counter(refusal.reason for refusal in done.refused.values()))


def look_of(ledger: Ledger, confirmed_after: int = 1) -> Look:
    at, clock = Moment.now(), ledger.account(CLOCK) or b""
    slot, _, _, _, unix_time = struct.unpack("<QqQQq", clock)
    # The newest slot is only processed; what is read is confirmed.
    return Look(slot - confirmed_after, at, unix_time)


def writes_of(world: World, ledger: Ledger, confirmed_after: int = 1) -> list[Write]:
    publisher_of = {spec.device.pubkey: spec.device.metrics_publisher_pk for spec in world.devices}
    writes, look = [], look_of(ledger, confirmed_after)
    for key, (status, rtt_ns) in world.expected().items():
        data = ledger.account(key)
        assert data is not None
        user = decode_user(key, data, ledger.balance(key))
        publisher = publisher_of[user.device_pk]
        writes.append(
            Write(key, user.device_pk, publisher, status, rtt_ns, grown_len(user), user.lamports, user, look)
        )
    return writes
