"""What writing 1,000 users' changes takes: ours, and one transaction a user, waited for before the next.

The latter is the way of the agent that runs on a device. It is given every advantage here: no simulation, a
blockhash for each transaction at the cost of one request, confirmed instead of finalized, and all 1,000 are
really written, one after the other, on the same ledger and with the same interval between two polls.
"""

import asyncio
import math
import time
from dataclasses import dataclass

from big_world import big_world
from goals import Row, Table
from solders.keypair import Keypair

from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.session import LedgerSession, SessionOptions
from dzbgp.ledger.submit.journal import Journal, NoJournal
from dzbgp.ledger.submit.packing import MAX_COMPUTE_UNITS, Batch, TransactionBuilder
from dzbgp.ledger.submit.signers import Signers
from dzbgp.ledger.submit.submitter import SubmitOptions
from dzbgp.models.in_flight import InFlight
from dzbgp.models.moment import Moment
from dzbgp.models.session import Look
from dzbgp.models.submission import Outcome
from dzbgp.run.authorize import authorizer

DEVICES, USERS = 4, 1_000
PER_TRANSACTION = 19
SLOT_MS = 20
POLL_S = 0.02
FINALIZED_LIFE = 150 - 31
"""Blocks that a blockhash of the newest finalized block still lives."""


@dataclass
class Result:
    transactions: int
    seconds: float
    requests: int
    fees: int


def bench() -> Table:
    signer = Keypair()
    names = World.default_publishers()
    world = big_world(
        DEVICES, USERS // DEVICES, changed=1.0, publishers=dict.fromkeys(names, signer.pubkey())
    )
    users = {spec.user.pubkey: spec.user for spec in world.users}
    look = Look(world.now_slot, Moment.now())
    writes = [
        Write(key, users[key].device_pk, signer.pubkey(), status, rtt_ns, seen=users[key], look=look)
        for key, (status, rtt_ns) in world.expected().items()
    ]
    assert len(writes) == USERS
    with Ledger.start(
        world.accounts(),
        program_id=world.program_id,
        balances={signer.pubkey(): 10**11},
        slot_ms=SLOT_MS,
        start_slot=world.now_slot,
    ) as ledger:
        network = Network("localnet", world.program_id, (ledger.url,))
        before = ledger.stats()
        journal = Noting()
        ours_s = ours(network, writes, signer, journal)
        windows = journal.windows(asyncio.run(skipped_slots(network)))
        waits = [one.slot - journal.noted[str(one.signature)].since_slot for one in ledger.transactions()]
        between = ledger.stats()
        theirs_s = asyncio.run(one_by_one(network, writes, signer))
        after = ledger.stats()
    assert set(between.per_user.values()) == {1}
    assert set(after.per_user.values()) == {2}
    ours_made, theirs_made = (
        Result(
            end.transactions_executed - start.transactions_executed,
            seconds,
            end.http_requests - start.http_requests,
            end.fees - start.fees,
        )
        for start, end, seconds in ((before, between, ours_s), (between, after, theirs_s))
    )
    goal, ratio = math.ceil(USERS / PER_TRANSACTION), theirs_made.seconds / ours_made.seconds
    table = Table(
        f"Writing {USERS:,} users' changes of one publisher on {DEVICES} devices",
        f"slots of {SLOT_MS} ms, a poll every {POLL_S * 1000:.0f} ms, confirmed; ours with balances, simulation and "
        "read-back",
    )
    table.rows = [
        Row(
            f"{USERS:,} changes: transactions",
            f"{ours_made.transactions}",
            f"{goal}",
            ours_made.transactions <= goal,
        ),
        Row("ours: time", f"{ours_made.seconds:.2f} s"),
        Row("ours: requests", f"{ours_made.requests:,}"),
        Row("ours: fees", f"{ours_made.fees:,} lamports"),
        Row("ours: from the read before the signature to the landing", f"{max(waits)} slots"),
        Row(
            "ours: the same at most, while the blockhash lives",
            f"{max(windows)} blocks",
            f"{FINALIZED_LIFE}",
            max(windows) <= FINALIZED_LIFE,
        ),
        Row("one by one: transactions", f"{theirs_made.transactions:,}"),
        Row("one by one: time", f"{theirs_made.seconds:.1f} s"),
        Row("one by one: requests", f"{theirs_made.requests:,}"),
        Row("one by one: fees", f"{theirs_made.fees:,} lamports"),
        Row("time: one by one / ours", f"{ratio:.0f} x", "40 x", ratio >= 40),
    ]
    return table


class Noting(NoJournal):
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.noted: dict[str, InFlight] = {}

    def sent(self, in_flight: InFlight) -> None:
        self.noted[in_flight.signature] = in_flight

    def windows(self, skipped: int) -> list[int]:
        """For how many blocks after its users were read each transaction could land."""
        return [one.last_valid_block_height - (one.since_slot - skipped) for one in self.noted.values()]


async def skipped_slots(network: Network) -> int:
    """How many slots the ledger has more than blocks."""
    async with RpcClient(network) as client:
        slot, height = await client.height()
        return slot - height


def ours(network: Network, writes: list[Write], signer: Keypair, journal: Journal) -> float:
    options = SessionOptions(submit=SubmitOptions(poll_s=POLL_S), low_balance=0)
    started = time.monotonic()
    with LedgerSession(network, options) as session:
        done = session.write(
            writes, Signers({signer.pubkey(): signer}), journal=journal, authorize=authorizer()
        )
    assert {one.outcome for one in done.submissions.values()} <= {Outcome.CONFIRMED, Outcome.FINALIZED}
    return time.monotonic() - started


async def one_by_one(network: Network, writes: list[Write], signer: Keypair) -> float:
    started = time.monotonic()
    builder, signers = TransactionBuilder(network.program_id), Signers({signer.pubkey(): signer})
    async with RpcClient(network) as client:
        for write in writes:
            blockhash = await client.latest_blockhash()
            batch = Batch(write.publisher, (write,))
            message = builder.message(batch, blockhash.hash, MAX_COMPUTE_UNITS)
            transaction = signers.sign(message, network.program_id, {write.user})
            await client.send(bytes(transaction))
            signature, confirmed = str(transaction.signatures[0]), False
            while not confirmed:
                await asyncio.sleep(POLL_S)
                _, [status] = await client.statuses([signature])
                confirmed = status is not None and status.confirmation != "processed"
    return time.monotonic() - started
