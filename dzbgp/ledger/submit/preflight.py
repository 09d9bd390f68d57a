"""What is checked before anything is signed: the right cluster, and publishers that can pay."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from solders.pubkey import Pubkey

from dzbgp.ledger.errors import ClusterMismatchError
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.submit.packing import Batch, TransactionBuilder
from dzbgp.models.ledger import LAMPORTS_PER_SOL

log = logging.getLogger(__name__)

_UNITS_PER_WRITE = 2_000
"""An estimate, with growth and its transfer: measured 1,713 on the lab's program."""


async def check_cluster(client: RpcClient) -> None:
    """Raise ClusterMismatchError when an RPC serves another cluster than was asked for, or than another RPC.

    One RPC and no known genesis hash leave nothing to compare: then nothing is asked.
    """
    expected = client.network.genesis_hash
    if expected is None and len(client.network.rpc_urls) == 1:
        return
    for where, genesis in await client.genesis_hashes():
        if expected is None:
            expected = genesis
        elif genesis != expected:
            raise ClusterMismatchError(
                f"RPC {where} serves the cluster with genesis hash {genesis}, expected {expected} "
                f"({client.network.name}); nothing was written"
            )


async def check_balances(
    client: RpcClient, builder: TransactionBuilder, writes: Sequence[Write], low_balance: int
) -> dict[Pubkey, str]:
    """Return, for each publisher that cannot pay for its writes, the sentence that says so.

    A publisher pays a fee for each transaction and the rent of accounts that grow, and its own account must keep its
    rent. `low_balance` is in lamports; below it there is a warning.
    """
    by_publisher: dict[Pubkey, list[Batch]] = defaultdict(list)
    for batch in builder.pack(writes):
        by_publisher[batch.publisher].append(batch)
    publishers = list(by_publisher)
    lengths = sorted({0, *(write.grown_len for write in writes if write.grown_len)})
    accounts = await client.accounts(publishers)
    fee = await _fee(client, builder, by_publisher[publishers[0]][0])
    minimums = await asyncio.gather(*(client.minimum_balance(length) for length in lengths))
    minimum = dict(zip(lengths, minimums, strict=True))
    short = {}
    for publisher, account in zip(publishers, accounts, strict=True):
        has = account.lamports if account else 0
        batches = by_publisher[publisher]
        rent = sum(
            max(0, minimum[write.grown_len] - write.lamports)
            for batch in batches
            for write in batch.writes
            if write.grown_len
        )
        needs = fee * len(batches) + rent + minimum[0]
        if has < needs:
            short[publisher] = (
                f"publisher {publisher} has {_sol(has)}, but its transactions ({len(batches)}) take {_sol(needs)} "
                f"(fees {_sol(fee * len(batches))}, rent of growing accounts {_sol(rent)}, own rent "
                f"{_sol(minimum[0])}); its transactions were not sent. Fund it"
            )
        elif has - fee * len(batches) - rent < low_balance:
            log.warning("publisher %s is low: %s; fund it", publisher, _sol(has))
    return short


async def _fee(client: RpcClient, builder: TransactionBuilder, batch: Batch) -> int:
    """Return the cost of one full transaction in lamports, as the cluster itself computes it."""
    blockhash = await client.latest_blockhash()
    units = _UNITS_PER_WRITE * len(batch.writes)
    fee = await client.fee(bytes(builder.message(batch, blockhash.hash, units)))
    return builder.fee(5_000, units) if fee is None else fee


def _sol(lamports: int) -> str:
    return f"{lamports / LAMPORTS_PER_SOL:.6f} SOL"
