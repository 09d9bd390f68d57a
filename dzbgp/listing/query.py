"""What `dzbgp users`, `dzbgp devices` and `dzbgp history` are asked for.

Light: the command line reads these declarations for `--help`. An empty filter lets everything pass.
"""

from dataclasses import dataclass
from enum import StrEnum

from dzbgp.console.option import DAILY, REPORT, ROWS, duration, listed, option

SORT = "Sort by these columns; -NAME: in descending order."
COLUMNS = "Show these columns, in this order (not in JSON)."


@dataclass(frozen=True, kw_only=True)
class _Query:
    device: tuple[str, ...] = listed(DAILY, "Only these devices (code or key).", "CODE")
    location: tuple[str, ...] = listed(ROWS, "Only these locations (code or name).", "CODE")
    stale_after_s: float = duration(12 * 3600, ROWS, "Reports older than this are stale.")


@dataclass(frozen=True, kw_only=True)
class UserQuery(_Query):
    """Which users to list."""

    status: tuple[str, ...] = listed(
        DAILY, "Only these statuses, such as activated.", "STATUS", key="user-status"
    )
    sort: tuple[str, ...] = listed(REPORT, SORT, "COLUMN", key="user-sort")
    columns: tuple[str, ...] = listed(REPORT, COLUMNS, "COLUMN", key="user-columns")
    client_ip: tuple[str, ...] = listed(ROWS, "Only users with these addresses.", "ADDRESS")
    bgp_status: tuple[str, ...] = listed(DAILY, "Only users that are up, down or unknown.", "STATUS")
    user_type: tuple[str, ...] = listed(ROWS, "Only these types of users, such as ibrl.", "TYPE")
    tenant: tuple[str, ...] = listed(ROWS, "Only users of these tenants (code or key), or none.", "CODE")


@dataclass(frozen=True, kw_only=True)
class DeviceQuery(_Query):
    """Which devices to list."""

    status: tuple[str, ...] = listed(
        DAILY, "Only these statuses, such as activated.", "STATUS", key="device-status"
    )
    sort: tuple[str, ...] = listed(REPORT, SORT, "COLUMN", key="device-sort")
    columns: tuple[str, ...] = listed(REPORT, COLUMNS, "COLUMN", key="device-columns")
    exchange: tuple[str, ...] = listed(ROWS, "Only these exchanges.", "CODE")
    contributor: tuple[str, ...] = listed(ROWS, "Only these contributors.", "CODE")
    device_type: tuple[str, ...] = listed(
        ROWS, "Only these types of devices, such as hybrid.", "TYPE", name="type", key="device-type"
    )


class Record(StrEnum):
    """What `dzbgp history` lists."""

    PASSES = "passes"
    TRANSITIONS = "transitions"
    WRITES = "writes"


@dataclass(frozen=True, kw_only=True)
class HistoryQuery:
    """Which of the records of a state file to list."""

    since_s: float = duration(24 * 3600, ROWS, "Only what happened less than this ago.")
    user: str | None = option(
        None,
        ROWS,
        "Only this user's transitions or writes (key, or its start).",
        metavar="KEY",
        key="history-user",
    )
    device: str | None = option(
        None,
        ROWS,
        "Only transitions on this device (code, host or key).",
        metavar="CODE",
        key="history-device",
    )
    flapping: bool = option(False, ROWS, "Only users with several transitions, the worst first.")
