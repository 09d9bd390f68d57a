"""Tests whether the ledger can be read: each RPC, the cluster, the program, the clock. Nothing is sent."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from solders.pubkey import Pubkey

from dzbgp.console.words import amount
from dzbgp.diagnostics.check.results import CheckResults, CheckSection
from dzbgp.errors import ExitCode
from dzbgp.ledger.errors import EmptyProgramError, LedgerError, RpcError, RpcStatusError
from dzbgp.ledger.networks import Network, unencrypted
from dzbgp.ledger.program.fetch import fetch
from dzbgp.ledger.program.snapshot import read_contributors
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.ledger.rpc.pool import malformed
from dzbgp.ledger.rpc.retry import RetryBudget
from dzbgp.ledger.secrets import redact
from dzbgp.models.ledger import Contributor, ProgramData

_BUDGET = RetryBudget(attempts=2, deadline_s=20.0)
_FETCH_S = 30.0
_CLOCK_S = 60.0
"""Block times come from the validators' clocks, which are this accurate."""
_HTTP_REFUSED = frozenset({401, 403})
_HTTP_BUSY = 429


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The results, and what the other tests need of the ledger."""

    found: CheckResults
    data: ProgramData | None = None
    contributors: Collection[Contributor] = ()
    balances: dict[Pubkey, int] = field(default_factory=dict)
    minimum: int = 0
    """Lamports that an account must keep (rent exemption)."""


def check_ledger(
    net: Network, publishers: Callable[[LedgerState], Sequence[Pubkey]], *, with_contributors: bool
) -> LedgerState:
    """Ask the network's RPCs; `publishers` returns whose balances to read, given what was read before."""
    return asyncio.run(_check(net, publishers, with_contributors=with_contributors))


async def _check(
    net: Network, publishers: Callable[[LedgerState], Sequence[Pubkey]], *, with_contributors: bool
) -> LedgerState:
    found = CheckResults(CheckSection.LEDGER)
    answering = await _check_rpcs(net, found)
    if not answering:
        return LedgerState(found)
    async with RpcClient(replace(net, rpc_urls=answering), budget=_BUDGET) as client:
        state = await _check_program(client, found, with_contributors=with_contributors)
        if state.data is None:
            return state
        _check_clock(client.pool.where, state.data, found)
        balances, minimum = await _balances(client, publishers(state), found)
    return replace(state, balances=balances, minimum=minimum)


async def _check_rpcs(net: Network, found: CheckResults) -> tuple[str, ...]:
    """Return the RPCs that answer and serve the right cluster."""
    asked = await asyncio.gather(*(_genesis(net, url) for url in net.rpc_urls))
    hashes = {url: answer for url, answer in zip(net.rpc_urls, asked, strict=True) if isinstance(answer, str)}
    for url, answer in zip(net.rpc_urls, asked, strict=True):
        if isinstance(answer, str):
            found.ok(redact(url), "reachable", "it answers")
        elif hashes:
            found.warn(redact(url), "reachable", str(answer), f"{_rpc_hint(answer)}; another RPC answers")
        else:
            found.fail(redact(url), "reachable", str(answer), _rpc_hint(answer), ExitCode.COULD_NOT_RUN)
    for where in unencrypted(net.rpc_urls):
        detail = "not encrypted: anyone on the network path can read its URL and change its answers"
        found.warn(where, "tls", detail, "use https://")
    if hashes:
        _check_cluster(net, hashes, found)
    return tuple(hashes)


async def _genesis(net: Network, url: str) -> str | LedgerError:
    async with RpcClient(replace(net, rpc_urls=(url,)), budget=_BUDGET) as client:
        try:
            # Not through `genesis_hashes`, which logs what is reported here.
            answer = await client.pool.call("getGenesisHash", [])
        except LedgerError as error:
            return error
        return answer if isinstance(answer, str) else malformed(redact(url), "getGenesisHash")


def _check_cluster(net: Network, hashes: dict[str, str], found: CheckResults) -> None:
    expected = net.genesis_hash or next(iter(hashes.values()))
    wrong = {url: genesis for url, genesis in hashes.items() if genesis != expected}
    for url, genesis in wrong.items():
        source = "--genesis-hash" if net.genesis_hash else "the first RPC"
        found.fail(
            redact(url),
            "cluster",
            f"it serves the cluster with genesis hash {genesis}; {source} says {expected}",
            f"check --rpc-url against --env {net.name}: a run refuses to write",
            ExitCode.COULD_NOT_RUN,
        )
    if not wrong:
        agreed = f"{len(hashes)} RPCs agree, " if len(hashes) > 1 else ""
        pinned = "as given" if net.genesis_hash else "not pinned (--genesis-hash pins it)"
        found.ok(net.name, "cluster", f"{agreed}genesis hash {expected}, {pinned}")


async def _check_program(client: RpcClient, found: CheckResults, *, with_contributors: bool) -> LedgerState:
    program = str(client.network.program_id)
    try:
        async with asyncio.timeout(_FETCH_S):
            data = await fetch(client)
            contributors = await read_contributors(client) if with_contributors else ()
    except TimeoutError:
        detail = f"RPC {client.pool.where}: no program data in {_FETCH_S:g} s"
        found.fail(program, "program", detail, "use an RPC that is nearer or faster", ExitCode.COULD_NOT_RUN)
        return LedgerState(found)
    except EmptyProgramError as error:
        hint = "check --env, --program-id and --rpc-url: they must name the same network"
        found.fail(program, "program", str(error), hint, ExitCode.COULD_NOT_RUN)
        return LedgerState(found)
    except LedgerError as error:
        hint = f"{_rpc_hint(error)}; some RPCs do not serve getProgramAccounts: use one that does"
        found.fail(program, "program", str(error), hint, ExitCode.COULD_NOT_RUN)
        return LedgerState(found)
    found.ok(
        program,
        "program",
        f"{amount(len(data.devices), 'device')}, {amount(len(data.users), 'user')} at slot {data.slot}",
    )
    for account in data.skipped:
        found.warn(program, "account", str(account), "update dzbgp, or inspect the account onchain")
    for remark in data.remarks:
        found.warn(program, "reading", remark, "no action needed: a run goes on")
    return LedgerState(found, data, contributors)


def _check_clock(where: str, data: ProgramData, found: CheckResults) -> None:
    if data.doubt:
        hint = "a run writes nothing now: use another --rpc-url, or check this host's clock (`timedatectl`)"
        found.fail(where, "credible", data.doubt, hint, ExitCode.PARTIAL)
        return
    if data.ledger_at is None:
        hint = "no action needed: motion and slot decide whether an RPC is believed"
        found.warn(where, "clock", "the ledger has no Clock to read", hint)
        return
    ahead = time.time() - data.ledger_at
    if abs(ahead) <= _CLOCK_S:
        found.ok(where, "clock", f"within {_CLOCK_S:g} s of the ledger's")
    elif ahead > 0:
        hint = "check this host's clock (`timedatectl`); if it is right the RPC is behind, or the cluster has stopped"
        found.warn(where, "clock", f"this host's clock is {ahead:.0f} s ahead of the ledger's", hint)
    else:
        hint = "set this host's clock (`timedatectl`): grace periods and history rely on it"
        found.warn(where, "clock", f"this host's clock is {-ahead:.0f} s behind the ledger's", hint)


async def _balances(
    client: RpcClient, publishers: Sequence[Pubkey], found: CheckResults
) -> tuple[dict[Pubkey, int], int]:
    try:
        accounts = await client.accounts(publishers)
        minimum = await client.minimum_balance(0)
    except LedgerError as error:
        found.fail(client.pool.where, "balances", str(error), _rpc_hint(error), ExitCode.COULD_NOT_RUN)
        return {}, 0
    return {
        key: account.lamports if account else 0 for key, account in zip(publishers, accounts, strict=True)
    }, minimum


def _rpc_hint(error: LedgerError) -> str:
    if isinstance(error, RpcStatusError) and error.status in _HTTP_REFUSED:
        return "check the access token, which is a part of --rpc-url"
    if isinstance(error, RpcStatusError) and error.status == _HTTP_BUSY:
        return "it limits requests: ask less often, or use your own RPC"
    if isinstance(error, RpcError):
        return "the node answers, but cannot serve this: try again, or use another --rpc-url"
    return "check --rpc-url and the network path to it (a second --rpc-url is used when the first is down)"
