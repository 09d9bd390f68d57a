"""The report for people, at whatever width their terminal has.

Changes come first, then what needs a person (held, failed, unknown), then one line of totals.
"""

from collections.abc import Iterable, Iterator, Mapping

from rich.cells import cell_len
from rich.console import Console
from solders.pubkey import Pubkey

from dzbgp.console.layout import (
    BAD,
    DIM,
    GAP,
    GOOD,
    INDENT,
    LOUD,
    SECOND_INDENT,
    TITLE,
    Cell,
    Line,
    Lines,
    Terminal,
)
from dzbgp.console.table import Column, table
from dzbgp.console.words import abbreviated, amount, moment, rtt_text
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.report.digest import Digest, Tone, device_name, importance

_STYLE = {Tone.GOOD: GOOD, Tone.BAD: BAD, Tone.OPEN: TITLE}


def render(report: Report, console: Console, *, show_all: bool = False) -> None:
    """Print the report on `console`; with `show_all` also users without an action.

    No line is wider than the console, with one exception: a transaction's signature (88 characters) is never cut
    or broken, so that it can be copied; on a narrower console it has its own line.
    """
    lines = _TableSections(report, Terminal.of(console)).lines(show_all=show_all)
    console.print(Lines(list(lines)), soft_wrap=True)


class _TableSections:
    """The sections of one report on one terminal, each as lines; an empty section has none."""

    def __init__(self, report: Report, terminal: Terminal) -> None:
        self._report = report
        self._terminal = terminal
        self._digest = Digest(report)

    def lines(self, *, show_all: bool) -> Iterator[Line]:
        """Yield the whole report, with a blank line between two sections."""
        yield from self._heading()
        sections = [
            self._changes(),
            self._refreshes(show_all=show_all),
            self._signatures(),
            self._held(),
            self._devices_left_out(),
            self._failed_writes(),
            self._unknown(),
            self._others() if show_all else (),
            self._notes(),
            self._summary(),
        ]
        for section in sections:
            content = list(section)
            if content:
                yield []
                yield from content

    def _title(self, text: str, style: str = TITLE) -> Iterator[Line]:
        return self._terminal.paragraph(text, style=style)

    def _heading(self) -> Iterator[Line]:
        report = self._report
        facts = [f"dzbgp {self._digest.kind}", report.env, f"slot {report.slot}", moment(report.started_at)]
        yield from self._terminal.joined(facts, DIM)

    def _changes(self) -> Iterator[Line]:
        digest = self._digest
        yield from self._title(digest.headline)
        if digest.changes:
            yield from user_table(self._terminal, digest.changes, self._results(digest.changes))

    def _refreshes(self, *, show_all: bool) -> Iterator[Line]:
        """Yield a line for all refreshes, and a table of those that did not land, with `show_all` of all."""
        refreshes = self._digest.refreshes
        if not refreshes:
            return
        hidden = "" if show_all else " (--all lists them)"
        yield from self._title(f"Refreshes: {amount(len(refreshes), 'user')}{hidden}")
        shown = refreshes if show_all else [item for item in refreshes if not self._is_well(item)]
        if shown:
            yield from user_table(self._terminal, shown, self._results(shown))

    def _is_well(self, decision: Decision) -> bool:
        return self._report.dry_run or self._digest.result(decision)[1] is Tone.GOOD

    def _results(self, decisions: Iterable[Decision]) -> dict[Pubkey, Cell] | None:
        """Return the outcome of each write; None in a dry run."""
        if self._report.dry_run:
            return None
        results = {}
        for decision in decisions:
            text, tone = self._digest.result(decision)
            results[decision.observation.user.pubkey] = (text, "" if tone is Tone.GOOD else _STYLE[tone])
        return results

    def _signatures(self) -> Iterator[Line]:
        """Yield each transaction with its result and its whole signature."""
        sent = self._digest.transactions.values()
        if not sent:
            return
        leads = [(f"#{item.number}", item.result, amount(item.users, "user")) for item in sent]
        widths = [max(map(len, column)) for column in zip(*leads, strict=True)]
        yield from self._title("Transactions")
        for item, lead in zip(sent, leads, strict=True):
            number, result, count = (text.ljust(width) for text, width in zip(lead, widths, strict=True))
            head = [(INDENT + number + GAP, ""), (result, _STYLE[item.tone]), (GAP + count, "")]
            yield from self._with_signature(head, self._terminal.clean(item.signature))

    def _with_signature(self, head: Line, signature: str) -> Iterator[Line]:
        if sum(cell_len(text) for text, _ in head) + len(GAP) + len(signature) <= self._terminal.width:
            yield [*head, (GAP + signature, "")]
            return
        yield head
        # A wider one starts at the margin: the terminal wraps it, and a copy of it is whole.
        fits = len(SECOND_INDENT) + len(signature) <= self._terminal.width
        yield [((SECOND_INDENT if fits else "") + signature, "")]

    def _held(self) -> Iterator[Line]:
        if self._digest.held:
            yield from self._terminal.paragraph(self._digest.why_held, "HELD: ", LOUD)
            yield from user_table(self._terminal, self._digest.held)

    def _devices_left_out(self) -> Iterator[Line]:
        rows = self._digest.left_out()
        if rows:
            yield from self._title("Devices left out", LOUD)
            yield from self._terminal.listed(rows, BAD)

    def _failed_writes(self) -> Iterator[Line]:
        failed = self._digest.failed_writes()
        if failed:
            yield from self._title("Writes that did not go through", LOUD)
            rows = [(self._terminal.key(str(user)), device, cause) for user, device, cause in failed]
            yield from self._terminal.listed(rows)

    def _unknown(self) -> Iterator[Line]:
        groups = self._digest.unknown()
        if not groups:
            return
        number = sum(group.users for group in groups)
        yield from self._title(f"Unchanged: {amount(number, 'user')} with unknown state")
        yield from self._terminal.listed(
            [(group.device, amount(group.users, "user"), group.cause) for group in groups]
        )

    def _others(self) -> Iterator[Line]:
        if self._digest.others:
            yield from self._title(f"No write due: {amount(len(self._digest.others), 'user')}")
            yield from user_table(self._terminal, self._digest.others)

    def _notes(self) -> Iterator[Line]:
        yield from self._terminal.notes(self._report.notes)

    def _summary(self) -> Iterator[Line]:
        yield from self._terminal.joined(self._digest.facts(), TITLE)


_DEVICE_LIMIT = 34


def user_table(
    terminal: Terminal, decisions: Iterable[Decision], results: Mapping[Pubkey, Cell] | None = None
) -> Iterator[Line]:
    """Yield a table of users: changes first, Down before Up, then by device and tunnel.

    `results`: the outcome of each user's write, as a column of its own.
    """
    rows = sorted(decisions, key=importance)
    seen = [decision.observation for decision in rows]
    keys = [str(observation.user.pubkey) for observation in seen]
    columns = [
        Column("User", _plain(keys), short=_plain(map(abbreviated, keys))),
        Column("Device", _plain(map(device_name, rows)), rank=5, limit=_DEVICE_LIMIT),
        Column("Client IP", _plain(item.user.client_ip for item in seen), rank=4),
        Column("Tunnel", _plain(str(item.user.tunnel_net) for item in seen), rank=3),
        Column("VRF", _plain(item.vrf or "-" for item in seen), rank=3),
        Column(f"Onchain {terminal.arrow} new", [_change(terminal, row) for row in rows]),
        Column("RTT", _plain(rtt_text(row.rtt_ns) for row in rows), rank=1, right=True),
    ]
    if results is not None:
        columns.append(Column("Tx", [results[item.user.pubkey] for item in seen], rank=2))
    yield from table(terminal, columns, [row.detail or row.reason for row in rows], "Why")


def _plain(texts: Iterable[str]) -> list[Cell]:
    return [(text, "") for text in texts]


def _change(terminal: Terminal, decision: Decision) -> Cell:
    onchain, status = decision.observation.user.bgp_status, decision.status
    if status is None or (decision.action is Action.SKIP and status is onchain):
        return onchain.label, DIM
    style = DIM if status is onchain else BAD if status is BgpStatus.DOWN else GOOD
    return f"{onchain.label} {terminal.arrow} {status.label}", style
