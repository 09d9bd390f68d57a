"""A user as a row of `dzbgp users`: the accounts that it refers to, and the fields that are shown of it."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from dzbgp.console.layout import BAD, DIM, GOOD
from dzbgp.console.words import duration, name_or_key, rtt_text
from dzbgp.listing.model import NOTHING, Field, Styled
from dzbgp.models.ledger import BgpStatus, CyoaType, Device, Location, User, UserStatus

_UNSET = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user with the accounts that it refers to. Ages are in seconds, None: never."""

    user: User
    device: Device | None
    location: Location | None
    contributor: str | None
    """The code of the device's contributor, or its key; None: the device is gone."""
    tenant: str | None
    """Its code, or its key when it has none; None: no tenant."""
    groups: tuple[str, ...]
    reported_age_s: float | None
    up_age_s: float | None
    stale: bool

    @property
    def device_code(self) -> str:
        """The device's code, or its key if the device is gone or has no code."""
        return (self.device.code if self.device else "") or str(self.user.device_pk)

    @property
    def location_code(self) -> str | None:
        """The location's code, or its key if it has no account."""
        if self.device is None:
            return None
        return (self.location.code if self.location else "") or str(self.device.location_pk)

    @property
    def endpoint(self) -> str:
        """The device's end of the tunnel: its public_ip unless the user's account names another."""
        own = self.user.tunnel_endpoint
        return self.device.public_ip if own == _UNSET and self.device else own

    @property
    def has_own_endpoint(self) -> bool:
        """Whether the tunnel ends at another address than the device's public_ip."""
        return self.device is None or self.endpoint != self.device.public_ip


def age_text(age_s: float | None) -> str:
    """Return an age in words."""
    return "never" if age_s is None else duration(age_s)


def _bgp(row: UserRow) -> Styled:
    status = row.user.bgp_status
    style = {BgpStatus.UP: GOOD, BgpStatus.DOWN: BAD}.get(status, DIM)
    return status.label, style


def _reported(row: UserRow) -> Styled:
    text = age_text(row.reported_age_s)
    if row.stale:
        return f"{text} STALE", BAD
    return text, DIM if row.reported_age_s is None else ""


def _status(row: UserRow) -> Styled:
    return row.user.status.label, "" if row.user.status is UserStatus.ACTIVATED else DIM


def _down_for(row: UserRow) -> str | None:
    return age_text(row.up_age_s) if row.user.bgp_status is BgpStatus.DOWN else None


def _plain(text: str | None) -> Styled:
    return text or NOTHING, ""


def _cyoa(cyoa: CyoaType) -> str:
    return cyoa.label.removeprefix("gre-over-")


def _address(text: str) -> int:
    return int(IPv4Address(text))


def _group(name: str) -> str:
    role, _, code = name.rpartition(":")
    return f"{role}:{name_or_key(code)}"


USER_FIELDS: tuple[Field[UserRow], ...] = (
    Field(
        "account",
        lambda row: str(row.user.pubkey),
        "Account",
        short=lambda row: name_or_key(str(row.user.pubkey)),
    ),
    Field(
        "tenant", lambda row: row.tenant, "Tenant", lambda row: _plain(name_or_key(row.tenant or "")), rank=6
    ),
    Field(
        "user_type",
        lambda row: row.user.user_type.label,
        "Type",
        short=lambda row: row.user.user_type.label.replace("-with-allocated-ip", "+ip"),
        rank=8,
    ),
    Field(
        "groups",
        lambda row: list(row.groups),
        "Groups",
        lambda row: _plain(", ".join(map(_group, row.groups))),
        rank=1,
    ),
    Field(
        "device",
        lambda row: row.device_code,
        "Device",
        lambda row: _plain(name_or_key(row.device_code)),
        rank=15,
    ),
    Field("device_pk", lambda row: str(row.user.device_pk)),
    Field(
        "location",
        lambda row: row.location_code,
        "Location",
        lambda row: _plain(
            (row.location.name if row.location else "") or name_or_key(row.location_code or "")
        ),
        lambda row: name_or_key(row.location_code or NOTHING),
        rank=5,
    ),
    Field("location_name", lambda row: row.location.name if row.location else None),
    Field(
        "cyoa_type",
        lambda row: row.user.cyoa_type.label,
        "CYOA",
        short=lambda row: _cyoa(row.user.cyoa_type),
        rank=4,
    ),
    Field(
        "client_ip",
        lambda row: row.user.client_ip,
        "Client IP",
        rank=14,
        order=lambda row: _address(row.user.client_ip),
    ),
    Field("dz_ip", lambda row: row.user.dz_ip, "DZ IP", rank=7, order=lambda row: _address(row.user.dz_ip)),
    Field("tunnel_id", lambda row: row.user.tunnel_id, "Tunnel", rank=9, right=True),
    Field(
        "tunnel_net",
        lambda row: str(row.user.tunnel_net),
        "Tunnel net",
        rank=12,
        order=lambda row: row.user.tunnel_net,
    ),
    Field(
        "tunnel_endpoint",
        lambda row: row.endpoint,
        "Endpoint",
        short=lambda row: row.endpoint if row.has_own_endpoint else NOTHING,
        rank=3,
        order=lambda row: _address(row.endpoint),
    ),
    Field("status", lambda row: row.user.status.label, "Status", _status, rank=11),
    Field("bgp_status", lambda row: row.user.bgp_status.label, "BGP", _bgp),
    Field(
        "rtt_ns",
        lambda row: row.user.bgp_rtt_ns,
        "RTT",
        lambda row: (rtt_text(row.user.bgp_rtt_ns), ""),
        rank=13,
        right=True,
        order=lambda row: row.user.bgp_rtt_ns or None,
    ),
    Field("last_reported_slot", lambda row: row.user.last_bgp_reported_at or None),
    Field("last_reported_age_s", lambda row: row.reported_age_s, "Reported", _reported),
    Field("last_up_slot", lambda row: row.user.last_bgp_up_at or None),
    Field(
        "last_up_age_s",
        lambda row: row.up_age_s,
        "Last up",
        lambda row: _plain(age_text(row.up_age_s)),
        rank=10,
    ),
    Field("stale", lambda row: row.stale),
    Field(
        "owner",
        lambda row: str(row.user.owner),
        "Owner",
        short=lambda row: name_or_key(str(row.user.owner)),
        rank=2,
    ),
    Field(
        "down_for_s",
        lambda row: row.up_age_s if row.user.bgp_status is BgpStatus.DOWN else None,
        "Down for",
        lambda row: _plain(_down_for(row)),
        rank=1,
    ),
)
