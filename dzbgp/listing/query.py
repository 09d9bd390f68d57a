"""What `dzbgp users`, `dzbgp devices` and `dzbgp history` are asked for.

Light: the command line reads these declarations for `--help`. An empty filter lets everything pass.
"""

from dataclasses import dataclass
from enum import StrEnum

from dzbgp.console.option import REPORT, SHOW, duration, listed, option

SORT = "Sort by these columns; - before a name sorts in descending order."
COLUMNS = "Show only these columns in table and CSV, in this order."


@dataclass(frozen=True, kw_only=True)
class _Query:
    device: tuple[str, ...] = listed(SHOW, "Only these devices (code or key).", "CODE")
    location: tuple[str, ...] = listed(SHOW, "Only these locations (code or name).", "CODE")
    stale_after_s: float = duration(12 * 3600, SHOW, "Reports older than this are stale.")


@dataclass(frozen=True, kw_only=True)
class UserQuery(_Query):
    """Which users to list."""

    status: tuple[str, ...] = listed(
        SHOW, "Only these statuses, such as activated.", "STATUS", key="user-status"
    )
    sort: tuple[str, ...] = listed(REPORT, SORT, "COLUMN", key="user-sort")
    columns: tuple[str, ...] = listed(REPORT, COLUMNS, "COLUMN", key="user-columns")
    client_ip: tuple[str, ...] = listed(SHOW, "Only users with these addresses.", "ADDRESS")
    bgp_status: tuple[str, ...] = listed(SHOW, "Only users that are up, down or unknown.", "STATUS")
    user_type: tuple[str, ...] = listed(SHOW, "Only these types of users, such as ibrl.", "TYPE")
    tenant: tuple[str, ...] = listed(SHOW, "Only users of these tenants (code or key), or none.", "CODE")


@dataclass(frozen=True, kw_only=True)
class DeviceQuery(_Query):
    """Which devices to list."""

    status: tuple[str, ...] = listed(
        SHOW, "Only these statuses, such as activated.", "STATUS", key="device-status"
    )
    sort: tuple[str, ...] = listed(REPORT, SORT, "COLUMN", key="device-sort")
    columns: tuple[str, ...] = listed(REPORT, COLUMNS, "COLUMN", key="device-columns")
    exchange: tuple[str, ...] = listed(SHOW, "Only these exchanges.", "CODE")
    contributor: tuple[str, ...] = listed(SHOW, "Only these contributors.", "CODE")
    device_type: tuple[str, ...] = listed(
        SHOW, "Only these types of devices, such as hybrid.", "TYPE", name="type", key="device-type"
    )


class Record(StrEnum):
    """What `dzbgp history` lists."""

    PASSES = "passes"
    TRANSITIONS = "transitions"
    WRITES = "writes"


@dataclass(frozen=True, kw_only=True)
class HistoryQuery:
    """Which of the records of a state file to list."""

    since_s: float = duration(24 * 3600, SHOW, "Only what happened less than this ago.")
    user: str | None = option(
        None,
        SHOW,
        "Only the transitions or writes of this user (key, or how it begins).",
        metavar="KEY",
        key="history-user",
    )
    device: str | None = option(
        None,
        SHOW,
        "Only the transitions on this device (code, host or key).",
        metavar="CODE",
        key="history-device",
    )
    flapping: bool = option(False, SHOW, "Only users with more than one transition, the worst first.")
