"""Users as rows of a terminal's table."""

from collections.abc import Iterable, Iterator, Mapping

from solders.pubkey import Pubkey

from dzbgp.console.layout import DIM, Cell, Column, Line, Paper, table
from dzbgp.models.ledger import Action, BgpStatus, Decision
from dzbgp.report.digest import abbreviated, device_name, importance
from dzbgp.report.summary import rtt_text

GOOD = "green"
BAD = "red"
_DEVICE_LIMIT = 24


def user_table(
    paper: Paper, decisions: Iterable[Decision], results: Mapping[Pubkey, Cell] | None = None
) -> Iterator[Line]:
    """Gives a table of users: what differs first, Down before Up, then by device and tunnel.

    `results` says for each user what became of its write, and is a column when it is given.
    """
    rows = sorted(decisions, key=importance)
    seen = [decision.observation for decision in rows]
    keys = [str(observation.user.pubkey) for observation in seen]
    columns = [
        Column("User", _plain(keys), short=_plain(map(abbreviated, keys))),
        Column("Device", _plain(paper.clean(device_name(row)) for row in rows), rank=5, limit=_DEVICE_LIMIT),
        Column("Client IP", _plain(item.user.client_ip for item in seen), rank=4),
        Column("Tunnel", _plain(str(item.user.tunnel_net) for item in seen), rank=3),
        Column("VRF", _plain(paper.clean(item.vrf or "-") for item in seen), rank=3),
        Column(f"Onchain {paper.arrow} new", [_change(paper, row) for row in rows]),
        Column("RTT", _plain(rtt_text(row.rtt_ns) for row in rows), rank=1, right=True),
    ]
    if results is not None:
        columns.append(Column("Tx", [results[item.user.pubkey] for item in seen], rank=2))
    yield from table(paper, columns, [paper.clean(row.detail or row.reason) for row in rows], "Why")


def _plain(texts: Iterable[str]) -> list[Cell]:
    return [(text, "") for text in texts]


def _change(paper: Paper, decision: Decision) -> Cell:
    onchain, status = decision.observation.user.bgp_status, decision.status
    if status is None or (decision.action is Action.SKIP and status is onchain):
        return onchain.label, DIM
    style = DIM if status is onchain else BAD if status is BgpStatus.DOWN else GOOD
    return f"{onchain.label} {paper.arrow} {status.label}", style
