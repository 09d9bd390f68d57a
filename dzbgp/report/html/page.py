"""The report as one HTML file that needs nothing else: no network, no script, no font.

The template escapes all text. The file's own policy (CSP) lets a browser load nothing and run nothing, and allows
no style but its own, by hash.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Generic, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from dzbgp.console.words import amount, iso, moment, rtt_text
from dzbgp.errors import one_line
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.report.digest import Digest, DownUser, Tone, device_name, host_name
from dzbgp.report.html.day import day_view
from dzbgp.report.html.timeline import day

Item = TypeVar("Item")

_TEMPLATES = Path(__file__).with_name("templates")
_SHOWN_AT_ONCE = 100
"""Rows of a list that are not folded."""
_RESULT_ORDER = (
    DeviceResult.FAILED,
    DeviceResult.SUSPECT,
    DeviceResult.UNMATCHED,
    DeviceResult.UNSUPPORTED,
    DeviceResult.OK,
)


def render(report: Report, *, show_all: bool = False) -> str:
    """Return the report as HTML; with `show_all` also users without an action."""
    digest = Digest(report)
    css = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    return _template().render(
        css=Markup(css),  # noqa: S704 - a file of our own
        css_hash=b64encode(sha256(css.encode()).digest()).decode(),
        report=report,
        digest=digest,
        tiles=_tiles(digest),
        fleet=Share.of("The fleet", report.decisions),
        changes=_folded([_row(item, digest) for item in digest.changes]),
        refreshes=_folded([_row(item, digest) for item in digest.refreshes]),
        down_now=_folded([_down_view(item) for item in digest.down_now()]),
        held=_folded([_row(item, digest) for item in digest.held]),
        others=_folded([_row(item, digest) for item in digest.others] if show_all else []),
        left_out=[tuple(map(one_line, item)) for item in digest.left_out()],
        failed_writes=[
            (str(user), one_line(name), one_line(why)) for user, name, why in digest.failed_writes()
        ],
        unknown=digest.unknown(),
        devices=_folded(_devices(report)),
        day=day_view(day(report)),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = one_line
    environment.filters |= {"amount": amount, "iso": iso, "moment": moment}
    return environment.get_template("report.html.j2")


@dataclass(frozen=True, slots=True)
class Folded(Generic[Item]):
    """A list of which only the first part is unfolded."""

    first: Sequence[Item]
    rest: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Tile:
    """One number of the totals."""

    name: str
    value: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class UserView:
    """A user of a table, as text."""

    user: str
    device: str
    client_ip: str
    tunnel: str
    vrf: str
    onchain: str
    status: str
    direction: str
    """`up` or `down` for a change, else `same`."""
    rtt: str
    result: str
    tone: str
    why: str


@dataclass(frozen=True, slots=True)
class Share:
    """The users of a device, or of the fleet, by status; drawn as a bar."""

    name: str
    up: int
    down: int
    absent: int
    """Without a neighbor, and not Up onchain: nothing to report."""
    unknown: int

    @classmethod
    def of(cls, name: str, decisions: Iterable[Decision]) -> "Share":
        """Count the verdicts."""
        found = Counter(map(_verdict, decisions))
        return cls(name, found["up"], found["down"], found["absent"], found["unknown"])

    @property
    def parts(self) -> list[tuple[str, str, int, float, float]]:
        """Kind, word, number, and start and width in percent, of each part that is not empty."""
        counts = (
            ("up", "up", self.up),
            ("down", "down", self.down),
            ("absent", "without a session", self.absent),
            ("unknown", "unknown", self.unknown),
        )
        whole = sum(number for _, _, number in counts)
        found, start = [], 0.0
        for kind, word, number in counts:
            if number:
                width = 100 * number / whole
                found.append((kind, word, number, round(start, 3), round(width, 3)))
                start += width
        return found

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Kind and word of each part that is not empty."""
        return [(kind, word.capitalize()) for kind, word, *_ in self.parts]

    @property
    def words(self) -> str:
        """The bar in words, for a screen reader."""
        return ", ".join(f"{number:,} {word}" for _, word, number, _, _ in self.parts) or "no users"


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device of the table, as text."""

    name: str
    result: str
    sessions: str
    share: Share


@dataclass(frozen=True, slots=True)
class DownView:
    """A user that is Down or unknown, as text."""

    state: str
    since: str
    user: str
    device: str
    client_ip: str
    why: str


def _down_view(item: DownUser) -> DownView:
    decision = item.decision
    return DownView(
        state=item.state,
        since=item.since,
        user=str(decision.observation.user.pubkey),
        device=one_line(device_name(decision)),
        client_ip=decision.observation.user.client_ip,
        why=one_line(decision.detail or decision.reason),
    )


def _verdict(decision: Decision) -> str:
    if decision.status is BgpStatus.UP:
        return "up"
    if decision.status is BgpStatus.DOWN:
        return "down"
    return "unknown" if decision.observation.observed is Observed.UNKNOWN else "absent"


def _folded(rows: Sequence[Item]) -> Folded[Item]:
    return Folded(rows[:_SHOWN_AT_ONCE], rows[_SHOWN_AT_ONCE:])


def _tiles(digest: Digest) -> list[Tile]:
    counted = digest.totals
    answered = counted.devices - counted.devices_failed - counted.devices_unmatched
    tiles = [
        Tile("Devices answered", f"{answered:,} of {counted.devices:,}", _bad(counted.devices - answered)),
        Tile("Users", f"{counted.users:,}"),
        Tile("Up", f"{counted.up:,}", "up"),
        Tile("Down", f"{counted.down:,}", "down" if counted.down else ""),
    ]
    no_status = (("No session", counted.absent), ("Unknown", counted.unknown))
    tiles += [Tile(name, f"{number:,}") for name, number in no_status if number]
    if digest.report.dry_run:
        tiles.append(Tile("To be written", f"{counted.to_submit:,}"))
    else:
        tiles.append(Tile("Written", f"{counted.submitted:,} of {counted.to_submit:,}"))
    more = (
        ("Failed", counted.failed, "bad"),
        ("Pending", counted.pending, ""),
        ("Held", counted.held, "bad"),
    )
    return [*tiles, *(Tile(name, f"{number:,}", tone) for name, number, tone in more if number)]


def _bad(number: int) -> str:
    return "bad" if number else ""


def _row(decision: Decision, digest: Digest) -> UserView:
    seen = decision.observation
    onchain = seen.user.bgp_status
    status = onchain if decision.status is None else decision.status
    result, tone = "", Tone.GOOD
    if decision.action is Action.SUBMIT and not digest.report.dry_run:
        result, tone = digest.result(decision)
    return UserView(
        user=str(seen.user.pubkey),
        device=one_line(device_name(decision)),
        client_ip=seen.user.client_ip,
        tunnel=str(seen.user.tunnel_net),
        vrf=one_line(seen.vrf or ""),
        onchain=onchain.label,
        status=status.label,
        direction="same" if status is onchain else "down" if status is BgpStatus.DOWN else "up",
        rtt=rtt_text(decision.rtt_ns),
        result=result,
        tone=tone.value,
        why=one_line(decision.detail or decision.reason),
    )


def _devices(report: Report) -> list[DeviceView]:
    """Return the devices, those with problems first."""
    users: dict[str, list[Decision]] = {}
    for decision in report.decisions:
        users.setdefault(decision.observation.host, []).append(decision)
    readings = sorted(report.devices, key=lambda item: (_RESULT_ORDER.index(item.result), item.host))
    return [_device(item, users.get(item.host, ())) for item in readings]


def _device(reading: DeviceReading, decisions: Iterable[Decision]) -> DeviceView:
    name = one_line(host_name(reading))
    established = sum(neighbor.is_up for neighbor in reading.neighbors)
    sessions = f"{established:,} of {len(reading.neighbors):,}" if reading.result is DeviceResult.OK else "-"
    return DeviceView(name, reading.result.value, sessions, Share.of(name, decisions))
