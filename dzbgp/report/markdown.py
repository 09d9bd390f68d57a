"""The report as GitHub-flavored Markdown, for the summary of a CI step.

GitHub shows no summary larger than 1 MiB, so each part has a bound, and says how much it leaves out.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from dzbgp.console.words import amount, moment, rtt_text
from dzbgp.errors import one_line
from dzbgp.models.decision import Action, Decision
from dzbgp.models.report import Report
from dzbgp.report.digest import Digest, Tone, device_name

_FOLD_FROM = 30
"""A longer list is folded."""
_KB = 1000
_CHANGES_BYTES, _HELD_BYTES, _OTHERS_BYTES = 250 * _KB, 100 * _KB, 80 * _KB
_REFRESHES_BYTES, _DOWN_BYTES = 80 * _KB, 140 * _KB
_LIST_BYTES = 60 * _KB
"""Five such lists: transactions, devices left out, failed writes, unknown users, notes."""

_SPECIAL = re.compile(r"[\\`*_{}\[\]~#!]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;", "$": "&#36;"}
_ENTITY = re.compile("[&<>|@$]")
_LINK = re.compile(r"(://)|(?i:(?<=www)\.)")


def render(report: Report, *, show_all: bool = False) -> str:
    """Return the report as Markdown, without a final newline; with `show_all` also users without an action.

    Text from devices is escaped: it cannot be markup or HTML, end a cell or become a link.
    """
    return "\n\n".join(_MarkdownSections(report).blocks(show_all=show_all))


def escaped(text: str) -> str:
    """Return text from outside as Markdown that shows exactly this text, on one line, also in a table's cell."""
    plain = _SPECIAL.sub(r"\\\g<0>", one_line(text))
    plain = _ENTITY.sub(lambda found: _ENTITIES[found[0]], plain)
    return _LINK.sub(lambda found: "&#58;//" if found[1] else "&#46;", plain)


class _MarkdownSections:
    """The sections of one report; an empty section has no blocks."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._digest = Digest(report)

    def blocks(self, *, show_all: bool) -> Iterator[str]:
        """Yield paragraphs, tables and lists, to be separated by blank lines."""
        report, digest = self._report, self._digest
        yield f"## dzbgp: {digest.headline}"
        yield " · ".join([digest.kind, escaped(report.env), f"slot {report.slot}", moment(report.started_at)])
        yield f"**{' · '.join(map(escaped, digest.facts()))}**"
        if digest.changes:
            yield f"### Changes: {amount(len(digest.changes), 'user')}"
            yield from self._users(digest.changes, _CHANGES_BYTES, results=not report.dry_run)
        if digest.refreshes:
            body = self._users(digest.refreshes, _REFRESHES_BYTES, results=not report.dry_run, fold=False)
            yield from _folded(f"Refreshes: {amount(len(digest.refreshes), 'user')}", body)
        if digest.held:
            yield "### 🛑 HELD"
            yield f"> **{escaped(digest.why_held)}**"
            yield from self._users(digest.held, _HELD_BYTES)
        yield from self._failures()
        yield from self._down_now()
        yield from self._unknown()
        yield from _listed("Notes", map(escaped, report.notes))
        yield from self._transactions()
        if show_all and digest.others:
            yield f"### No write due: {amount(len(digest.others), 'user')}"
            yield from self._users(digest.others, _OTHERS_BYTES)

    def _users(
        self, decisions: Sequence[Decision], room: int, *, results: bool = False, fold: bool = True
    ) -> Iterator[str]:
        titles = ["Change", "User", "Device", "Client IP", "Tunnel", "VRF", "RTT"]
        if results:
            titles.append("Tx")
        rows = (self._user(decision, results=results) for decision in decisions)
        yield from _table([*titles, "Why"], rows, len(decisions), room, fold=fold)

    def _user(self, decision: Decision, *, results: bool) -> list[str]:
        seen = decision.observation
        cells = [
            _change(decision),
            f"`{seen.user.pubkey}`",
            escaped(device_name(decision)),
            seen.user.client_ip,
            str(seen.user.tunnel_net),
            escaped(seen.vrf or "-"),
            rtt_text(decision.rtt_ns),
        ]
        if results:
            # `#1` would become a link to the first issue.
            text, tone = self._digest.result(decision)
            text = text.removeprefix("#")
            cells.append(escaped(text) if tone is Tone.GOOD else f"**{escaped(text)}**")
        return [*cells, escaped(decision.detail or decision.reason)]

    def _failures(self) -> Iterator[str]:
        devices, writes = self._digest.left_out(), self._digest.failed_writes()
        if devices:
            yield f"### ❌ Devices left out: {len(devices):,}"
            rows = ([escaped(name), f"**{word}**", escaped(cause)] for name, word, cause in devices)
            yield from _table(["Device", "Result", "Why"], rows, len(devices), _LIST_BYTES)
        if writes:
            yield f"### ❌ Writes that did not go through: {len(writes):,}"
            rows = ([f"`{user}`", escaped(device), escaped(cause)] for user, device, cause in writes)
            yield from _table(["User", "Device", "Why"], rows, len(writes), _LIST_BYTES)

    def _down_now(self) -> Iterator[str]:
        users = self._digest.down_now()
        if users:
            yield f"### Down or unknown: {amount(len(users), 'user')}"
            rows = (
                [
                    f"**{item.state}**",
                    item.since,
                    f"`{item.decision.observation.user.pubkey}`",
                    escaped(device_name(item.decision)),
                    item.decision.observation.user.client_ip,
                    escaped(item.decision.detail or item.decision.reason),
                ]
                for item in users
            )
            titles = ["State", "For", "User", "Device", "Client IP", "Why"]
            yield from _table(titles, rows, len(users), _DOWN_BYTES)

    def _unknown(self) -> Iterator[str]:
        groups = self._digest.unknown()
        if groups:
            number = sum(group.users for group in groups)
            yield f"### Unchanged: {amount(number, 'user')} with unknown state"
            rows = ([escaped(item.device), f"{item.users:,}", escaped(item.cause)] for item in groups)
            yield from _table(["Device", "Users", "Why"], rows, len(groups), _LIST_BYTES)

    def _transactions(self) -> Iterator[str]:
        sent = self._digest.transactions.values()
        if sent:
            rows = (
                [f"{item.number}", item.result, f"{item.users:,}", f"<code>{escaped(item.signature)}</code>"]
                for item in sent
            )
            body = _table(["Tx", "Result", "Users", "Signature"], rows, len(sent), _LIST_BYTES, fold=False)
            yield from _folded(amount(len(sent), "transaction"), body)


def _change(decision: Decision) -> str:
    onchain, status = decision.observation.user.bgp_status, decision.status
    if status is None or (decision.action is Action.SKIP and status is onchain):
        return onchain.label
    text = f"{onchain.label} → {status.label}"
    return text if status is onchain else f"**{text}**"


def _table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], number: int, room: int, *, fold: bool = True
) -> Iterator[str]:
    """Yield a table of `number` rows in at most `room` bytes, folded if it is long."""
    lines = [_row(titles), _row(["---"] * len(titles))]
    fitting = _fitting(map(_row, rows), room)
    lines += fitting
    blocks = ["\n".join(lines), *_left_out(number - len(fitting))]
    yield from _folded(f"{number:,} rows", blocks) if fold and number > _FOLD_FROM else blocks


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"- {item}" for item in items]
    if not lines:
        return
    yield f"### {title}"
    fitting = _fitting(lines, _LIST_BYTES)
    blocks = ["\n".join(fitting), *_left_out(len(lines) - len(fitting))]
    yield from _folded(amount(len(lines), "note"), blocks) if len(lines) > _FOLD_FROM else blocks


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fitting(lines: Iterable[str], room: int) -> list[str]:
    found = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        found.append(line)
    return found


def _left_out(number: int) -> Iterator[str]:
    if number:
        yield f"_… and {number:,} more that do not fit into the summary of a CI step: `--output json=FILE` has all._"


def _folded(title: str, blocks: Iterable[str]) -> Iterator[str]:
    yield f"<details><summary>{title}</summary>"
    yield from blocks
    yield "</details>"
