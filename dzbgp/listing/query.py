"""What `dzbgp users`, `dzbgp devices` and `dzbgp history` are asked for.

Light: the command line reads these declarations for `--help`. An empty filter lets everything pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dzbgp.console.option import DAILY, REPORT, ROWS, addresses, duration, listed, option, words
from dzbgp.state.known import known_users

SORT = "Sort by these columns; -NAME: in descending order."
COLUMNS = "Show these columns, in this order (not in JSON)."

USER_STATUSES = (
    "pending",
    "activated",
    "suspended",
    "deleting",
    "rejected",
    "pending-ban",
    "banned",
    "updating",
    "out-of-credits",
)
USER_TYPES = ("ibrl", "ibrl-with-allocated-ip", "edge-filtering", "multicast")
BGP_STATUSES = ("unknown", "up", "down")
DEVICE_STATUSES = (
    "pending",
    "activated",
    "deleting",
    "rejected",
    "drained",
    "device-provisioning",
    "link-provisioning",
)
DEVICE_TYPES = ("hybrid", "transit", "edge")
"""The labels of the program's words (models/ledger.py), which takes long to import."""
USER_COLUMNS = {
    "account": "Account",
    "tenant": "Tenant",
    "user_type": "Type",
    "groups": "Groups",
    "device": "Device",
    "device_pk": "",
    "location": "Location",
    "location_name": "",
    "cyoa_type": "CYOA",
    "client_ip": "Client IP",
    "dz_ip": "DZ IP",
    "tunnel_id": "Tunnel",
    "tunnel_net": "Tunnel net",
    "tunnel_endpoint": "Endpoint",
    "status": "Status",
    "bgp_status": "BGP",
    "rtt_ns": "RTT",
    "last_reported_slot": "",
    "last_reported_age_s": "Reported",
    "last_up_slot": "",
    "last_up_age_s": "Last up",
    "stale": "",
    "owner": "Owner",
    "down_for_s": "Down for",
}
DEVICE_COLUMNS = {
    "code": "Code",
    "pubkey": "Pubkey",
    "public_ip": "Public IP",
    "status": "Status",
    "type": "Type",
    "contributor": "Contributor",
    "location": "Location",
    "location_name": "",
    "exchange": "Exchange",
    "mgmt_vrf": "Mgmt VRF",
    "publisher": "Publisher",
    "publisher_key_held": "",
    "users": "Users",
    "up": "Up",
    "down": "Down",
    "unknown": "Unknown",
    "stale": "Stale",
}
"""The names of columns, and their titles, as the rows' fields have them."""


def _columns(help: str, known: Mapping[str, str], key: str, *, sign: str = "") -> Any:  # noqa: A002
    parse = words(known, "column", sign=sign)
    return listed(REPORT, help, "COLUMN", key=key, parse=parse, completion=lambda _: known)


def _words(panel: str, help: str, noun: str, known: Sequence[str], **more: Any) -> Any:  # noqa: A002
    parse = words(dict.fromkeys(known, ""), noun.lower())
    return listed(panel, help, noun, parse=parse, completion=lambda _: known, **more)


@dataclass(frozen=True, kw_only=True)
class _Query:
    device: tuple[str, ...] = listed(DAILY, "Only these devices (code or key).", "CODE")
    location: tuple[str, ...] = listed(ROWS, "Only these locations (code or name).", "CODE")
    stale_after_s: float = duration(12 * 3600, ROWS, "Reports older than this are stale.")


@dataclass(frozen=True, kw_only=True)
class UserQuery(_Query):
    """Which users to list."""

    user: tuple[str, ...] = listed(
        ROWS, "Only these users (key or its first characters).", "KEY", completion=known_users
    )
    status: tuple[str, ...] = _words(
        DAILY, "Only these statuses, such as activated.", "STATUS", USER_STATUSES, key="user-status"
    )
    sort: tuple[str, ...] = _columns(SORT, USER_COLUMNS, "user-sort", sign="-")
    columns: tuple[str, ...] = _columns(COLUMNS, USER_COLUMNS, "user-columns")
    client_ip: tuple[str, ...] = listed(ROWS, "Only users with these client IPs.", "ADDRESS", parse=addresses)
    bgp_status: tuple[str, ...] = _words(
        DAILY, "Only users that are up, down or unknown.", "STATUS", BGP_STATUSES
    )
    user_type: tuple[str, ...] = _words(ROWS, "Only these types, such as ibrl.", "TYPE", USER_TYPES)
    contributor: tuple[str, ...] = listed(ROWS, "Only users of these contributors' devices.", "CODE")
    tenant: tuple[str, ...] = listed(ROWS, "Only users of these tenants (code, key, or none).", "CODE")


@dataclass(frozen=True, kw_only=True)
class DeviceQuery(_Query):
    """Which devices to list."""

    status: tuple[str, ...] = _words(
        DAILY, "Only these statuses, such as activated.", "STATUS", DEVICE_STATUSES, key="device-status"
    )
    sort: tuple[str, ...] = _columns(SORT, DEVICE_COLUMNS, "device-sort", sign="-")
    columns: tuple[str, ...] = _columns(COLUMNS, DEVICE_COLUMNS, "device-columns")
    exchange: tuple[str, ...] = listed(ROWS, "Only these exchanges.", "CODE")
    contributor: tuple[str, ...] = listed(ROWS, "Only these contributors (code or key).", "CODE")
    device_type: tuple[str, ...] = _words(
        ROWS, "Only these types, such as hybrid.", "TYPE", DEVICE_TYPES, name="type", key="device-type"
    )


class Record(StrEnum):
    """What `dzbgp history` lists."""

    PASSES = "passes"
    TRANSITIONS = "transitions"
    WRITES = "writes"


@dataclass(frozen=True, kw_only=True)
class HistoryQuery:
    """Which of the records of a state file to list."""

    since_s: float = duration(24 * 3600, ROWS, "Only what happened within this time.")
    user: str | None = option(
        None,
        ROWS,
        "Only transitions or writes of this user (key or its first characters).",
        metavar="KEY",
        key="history-user",
        completion=known_users,
    )
    device: str | None = option(
        None,
        ROWS,
        "Only transitions on this device (code, host or key).",
        metavar="CODE",
        key="history-device",
    )
    flapping: bool = option(False, ROWS, "Only users with several transitions, most first.")
