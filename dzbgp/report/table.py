"""The report for people, at whatever width their terminal has.

What changes comes first, then what needs a person (held, failed, unknown), then one line of totals.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC

from rich.cells import cell_len
from rich.console import Console
from solders.pubkey import Pubkey

from dzbgp.console.layout import DIM, GAP, INDENT, SECOND_INDENT, Cell, Line, Lines, Paper
from dzbgp.console.table import Column, table
from dzbgp.console.words import BAD, GOOD, abbreviated, amount, rtt_text
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.report.digest import Digest, Tone, device_name, importance

_TITLE = "bold"
_LOUD = "bold red"
_OPEN = "bold"
_STYLE = {Tone.GOOD: GOOD, Tone.BAD: BAD, Tone.OPEN: _OPEN}
_FULL_KEYS_FROM = 160


def render(report: Report, console: Console, *, show_all: bool = False) -> None:
    """Prints the report on `console`; users that nothing is done about only with `show_all`.

    No line is wider than the console, with one exception: a transaction's signature (88 characters) is never
    cut nor broken, so that it can be copied; on a narrower console it has a line of its own. What comes from
    devices is printed as it is, without markup, and without control characters.
    """
    lines = _Sections(report, Paper.of(console)).lines(show_all=show_all)
    console.print(Lines(list(lines)), soft_wrap=True)


class _Sections:
    """The sections of one report on one console, each as lines; a section with nothing to say has none."""

    def __init__(self, report: Report, paper: Paper) -> None:
        self._report = report
        self._paper = paper
        self._digest = Digest(report)

    def lines(self, *, show_all: bool) -> Iterator[Line]:
        """Gives the whole report, a blank line between two sections."""
        yield from self._heading()
        sections = [
            self._changes(),
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

    def _title(self, text: str, style: str = _TITLE) -> Iterator[Line]:
        return self._paper.paragraph(text, "", style)

    def _heading(self) -> Iterator[Line]:
        report = self._report
        moment = f"{report.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        facts = [f"dzbgp {self._digest.kind}", self._paper.clean(report.env), f"slot {report.slot}", moment]
        yield from self._paper.joined(facts, DIM)

    def _changes(self) -> Iterator[Line]:
        digest = self._digest
        yield from self._title(digest.headline)
        if digest.changes and self._report.dry_run:
            yield from user_table(self._paper, digest.changes)
        elif digest.changes:
            results = {}
            for decision in digest.changes:
                text, tone = digest.result(decision)
                results[decision.observation.user.pubkey] = (text, "" if tone is Tone.GOOD else _STYLE[tone])
            yield from user_table(self._paper, digest.changes, results)

    def _signatures(self) -> Iterator[Line]:
        """Each transaction with its result and its signature, whole."""
        sent = self._digest.transactions.values()
        if not sent:
            return
        leads = [(f"#{item.number}", item.result, amount(item.users, "user")) for item in sent]
        widths = [max(map(len, column)) for column in zip(*leads, strict=True)]
        yield from self._title("Transactions")
        for item, lead in zip(sent, leads, strict=True):
            number, result, count = (text.ljust(width) for text, width in zip(lead, widths, strict=True))
            head = [(INDENT + number + GAP, ""), (result, _STYLE[item.tone]), (GAP + count, "")]
            yield from self._with_signature(head, self._paper.clean(item.signature))

    def _with_signature(self, head: Line, signature: str) -> Iterator[Line]:
        if sum(cell_len(text) for text, _ in head) + len(GAP) + len(signature) <= self._paper.width:
            yield [*head, (GAP + signature, "")]
            return
        yield head
        # One that is wider than the console starts at the margin: the terminal wraps it, and a copy is whole.
        fits = len(SECOND_INDENT) + len(signature) <= self._paper.width
        yield [((SECOND_INDENT if fits else "") + signature, "")]

    def _held(self) -> Iterator[Line]:
        if self._digest.held:
            yield from self._paper.paragraph(self._digest.why_held, "HELD: ", _LOUD)
            yield from user_table(self._paper, self._digest.held)

    def _devices_left_out(self) -> Iterator[Line]:
        clean = self._paper.clean
        rows = [(clean(name), result, clean(cause)) for name, result, cause in self._digest.left_out()]
        if rows:
            yield from self._title("Devices left out", _LOUD)
            yield from self._paper.listed(rows, BAD)

    def _failed_writes(self) -> Iterator[Line]:
        clean = self._paper.clean
        rows = [
            (self._key(user), clean(device), clean(cause))
            for user, device, cause in self._digest.failed_writes()
        ]
        if rows:
            yield from self._title("Writes that did not go through", _LOUD)
            yield from self._paper.listed(rows)

    def _key(self, key: Pubkey) -> str:
        return str(key) if self._paper.width >= _FULL_KEYS_FROM else abbreviated(str(key))

    def _unknown(self) -> Iterator[Line]:
        groups = self._digest.unknown()
        if not groups:
            return
        number = sum(group.users for group in groups)
        yield from self._title(f"Left as they are: {amount(number, 'user')} that nothing is known of")
        clean = self._paper.clean
        yield from self._paper.listed(
            [(clean(group.device), amount(group.users, "user"), clean(group.cause)) for group in groups]
        )

    def _others(self) -> Iterator[Line]:
        if self._digest.others:
            yield from self._title(f"Not to be written: {amount(len(self._digest.others), 'user')}")
            yield from user_table(self._paper, self._digest.others)

    def _notes(self) -> Iterator[Line]:
        if self._report.notes:
            yield from self._title("Notes")
        for note in self._report.notes:
            yield from self._paper.paragraph(self._paper.clean(note), INDENT + "- ")

    def _summary(self) -> Iterator[Line]:
        yield from self._paper.joined(map(self._paper.clean, self._digest.facts()), _TITLE)


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
