"""`dzbgp devices`: devices as the ledger has them, with the counts of their users."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from solders.pubkey import Pubkey

from dzbgp.console.filters import Filter, contributor_filter, word_filter
from dzbgp.console.layout import BAD, DIM, GOOD
from dzbgp.console.words import name_or_key
from dzbgp.ledger.program.snapshot import Snapshot
from dzbgp.listing.model import (
    BgpCounts,
    Field,
    Listing,
    Styled,
    ages_of,
    arranged,
    sorting,
    source_of,
)
from dzbgp.listing.query import DeviceQuery
from dzbgp.models.ledger import Contributor, Device, DeviceStatus, DeviceType, Location, User

_NO_KEY = Pubkey.default()


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device with the accounts that it refers to, and the counts of its activated users."""

    device: Device
    location: Location | None
    contributor: str
    location_code: str
    exchange: str
    key_held: bool | None
    """Whether we hold the publisher's key; None: no keypair was given."""
    counts: BgpCounts

    @property
    def name(self) -> str:
        """The device's code, or its key if it has no code."""
        return self.device.code or str(self.device.pubkey)


def has_publisher(device: Device) -> bool:
    """Return whether a metrics publisher was ever set: before, the account has no key, or the owner's."""
    return device.metrics_publisher_pk not in {_NO_KEY, device.owner}


def list_devices(
    snapshot: Snapshot, query: DeviceQuery, held: Container[Pubkey] | None = None
) -> Listing[DeviceRow]:
    """Return the devices that `query` chooses, by default in the order of their codes. Raises UsageError.

    `held`: the keys that we can sign with; None: not known.
    """
    ages = ages_of(snapshot, query.stale_after_s)
    users: dict[Pubkey, list[User]] = {}
    for user in snapshot.data.users.values():
        users.setdefault(user.device_pk, []).append(user)
    everything = [
        _row(device, snapshot, held, ages.count(users.get(device.pubkey, ())))
        for device in snapshot.data.devices.values()
    ]
    order = sorting(query.sort) or [("code", False)]
    rows = everything
    for one in device_filters(query, everything):
        rows = one.choose(rows)
    shown = arranged(rows, DEVICE_FIELDS, order)
    return Listing(
        noun="device",
        source=source_of(snapshot, query.stale_after_s),
        fields=DEVICE_FIELDS,
        rows=tuple(shown),
        total=len(everything),
        counts=ages.count(user for row in shown for user in users.get(row.device.pubkey, ())),
        columns=query.columns,
    )


def _row(device: Device, snapshot: Snapshot, held: Container[Pubkey] | None, counts: BgpCounts) -> DeviceRow:
    names = snapshot.names
    return DeviceRow(
        device=device,
        location=names.locations.get(device.location_pk),
        contributor=names.contributor(device.contributor_pk),
        location_code=names.location(device.location_pk),
        exchange=names.exchange(device.exchange_pk),
        key_held=None if held is None else has_publisher(device) and device.metrics_publisher_pk in held,
        counts=counts,
    )


def device_filters(query: DeviceQuery, rows: Sequence[DeviceRow]) -> list[Filter[DeviceRow]]:
    """Return the filters that `query` names."""

    def by_code(row: DeviceRow) -> tuple[str, ...]:
        return row.device.code, str(row.device.pubkey)

    def by_location(row: DeviceRow) -> tuple[str, ...]:
        return row.location_code, row.location.name if row.location else ""

    def contributor(row: DeviceRow) -> Contributor:
        return Contributor(row.device.contributor_pk, row.contributor)

    return [
        Filter(
            "--device",
            query.device,
            by_code,
            [name for row in rows for name in by_code(row)],
            "the code or the key of a device",
        ),
        Filter(
            "--location",
            query.location,
            by_location,
            [name for row in rows for name in by_location(row)],
            "the code or the name of a device's location",
        ),
        Filter(
            "--exchange",
            query.exchange,
            lambda row: (row.exchange,),
            [row.exchange for row in rows],
            "the code of one of a device's exchanges",
        ),
        contributor_filter("--contributor", query.contributor, contributor, map(contributor, rows)),
        word_filter("--status", query.status, lambda row: row.device.status, DeviceStatus, rows),
        word_filter("--type", query.device_type, lambda row: row.device.device_type, DeviceType, rows),
    ]


def _publisher(row: DeviceRow) -> Styled:
    return _held(row, str(row.device.metrics_publisher_pk))


def _held(row: DeviceRow, key: str) -> Styled:
    if not has_publisher(row.device):
        return "not set", BAD
    if row.key_held is None:
        return key, ""
    return (f"{key} held", GOOD) if row.key_held else (f"{key} not held", BAD)


def _status(row: DeviceRow) -> Styled:
    return row.device.status.label, "" if row.device.status is DeviceStatus.ACTIVATED else DIM


def _count(number: int, style: str) -> Styled:
    return str(number), style if number else DIM


DEVICE_FIELDS: tuple[Field[DeviceRow], ...] = (
    Field("code", lambda row: row.device.code, "Code", lambda row: (name_or_key(row.name), "")),
    Field(
        "pubkey",
        lambda row: str(row.device.pubkey),
        "Pubkey",
        short=lambda row: name_or_key(str(row.device.pubkey)),
        rank=5,
    ),
    Field(
        "public_ip",
        lambda row: row.device.public_ip,
        "Public IP",
        rank=9,
        order=lambda row: int(IPv4Address(row.device.public_ip)),
    ),
    Field("status", lambda row: row.device.status.label, "Status", _status, rank=10),
    Field("type", lambda row: row.device.device_type.label, "Type", rank=3),
    Field(
        "contributor",
        lambda row: row.contributor,
        "Contributor",
        lambda row: (name_or_key(row.contributor), ""),
        rank=7,
    ),
    Field(
        "location",
        lambda row: row.location_code,
        "Location",
        lambda row: ((row.location.name if row.location else "") or name_or_key(row.location_code), ""),
        lambda row: name_or_key(row.location_code),
        rank=6,
    ),
    Field("location_name", lambda row: row.location.name if row.location else None),
    Field(
        "exchange", lambda row: row.exchange, "Exchange", lambda row: (name_or_key(row.exchange), ""), rank=4
    ),
    Field("mgmt_vrf", lambda row: row.device.mgmt_vrf or None, "Mgmt VRF", rank=2),
    Field(
        "publisher",
        lambda row: str(row.device.metrics_publisher_pk) if has_publisher(row.device) else None,
        "Publisher",
        _publisher,
        lambda row: _held(row, name_or_key(str(row.device.metrics_publisher_pk)))[0],
        rank=8,
    ),
    Field("publisher_key_held", lambda row: row.key_held),
    Field("users", lambda row: row.counts.users, "Users", rank=11, right=True),
    Field("up", lambda row: row.counts.up, "Up", lambda row: _count(row.counts.up, GOOD), right=True),
    Field("down", lambda row: row.counts.down, "Down", lambda row: _count(row.counts.down, BAD), right=True),
    Field(
        "unknown",
        lambda row: row.counts.unknown,
        "Unknown",
        lambda row: _count(row.counts.unknown, ""),
        rank=12,
        right=True,
    ),
    Field(
        "stale", lambda row: row.counts.stale, "Stale", lambda row: _count(row.counts.stale, BAD), right=True
    ),
)
