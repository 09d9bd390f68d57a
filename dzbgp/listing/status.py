"""`dzbgp status`: the last pass of a state file in five lines, for a login banner or a monitor."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from dzbgp.console.json_text import json_text
from dzbgp.console.words import amount, duration, iso, moment, numbered
from dzbgp.errors import ExitCode, UsageError
from dzbgp.listing.history import result_word, when
from dzbgp.listing.json import SCHEMA_VERSION
from dzbgp.models.problem import Alarm
from dzbgp.state.records import PassRecord, alarms, held_users, last_pass, released_users
from dzbgp.state.store import Store


@dataclass(frozen=True, slots=True)
class Status:
    """The pass that ended last, and what lasts since. Times are Unix seconds."""

    record: PassRecord
    now: float
    held: int
    """Users that the guard holds."""
    released: int
    """How many of them were released since, and wait for the next pass."""
    problems: tuple[Alarm, ...]

    @property
    def age_s(self) -> float:
        """How long ago it ended."""
        return max(self.now - self.record.started_at - self.record.duration_s, 0.0)

    @property
    def exit_code(self) -> int:
        """The exit code of that pass."""
        return self.record.exit_code or ExitCode.OK


def read_status(store: Store) -> Status:
    """Return the last pass. Raises UsageError where none is noted."""
    record = last_pass(store)
    if record is None:
        raise UsageError(
            f"--state {store.database.path}: it has no pass yet. Run `dzbgp run` or `dzbgp watch` first"
        )
    lasting = tuple(one for one in alarms(store) if not one.is_event)
    return Status(record, time.time(), len(held_users(store)), len(released_users(store)), lasting)


def render_json(status: Status) -> str:
    """Return the status as indented JSON, without a final newline; schema_version 1."""
    record = status.record
    document = {
        "schema_version": SCHEMA_VERSION,
        "started_at": iso(when(record.started_at)),
        "duration_s": round(record.duration_s, 3),
        "age_s": round(status.age_s, 1),
        "exit_code": record.exit_code,
        "error": record.error,
        "summary": dict(record.totals),
        "held": status.held,
        "released": status.released,
        "problems": [{"since": iso(when(one.since)), "problem": one.line} for one in status.problems],
    }
    return json_text(document)


def render_text(status: Status) -> str:
    """Return five lines, without a final newline."""
    return "\n".join(_lines(status))


def _lines(status: Status) -> Iterator[str]:
    record, totals = status.record, status.record.totals
    began = moment(when(record.started_at))
    word = result_word(record.exit_code)
    result = f"{word} (exit code {record.exit_code})" if record.exit_code else word or "not known"
    yield f"Last pass: {result}, ended {duration(status.age_s)} ago, took {record.duration_s:.1f} s ({began})"
    if record.error is not None:
        yield f"Error:     {record.error}"
    else:
        asked, written = f"{totals.get('devices', 0):,} asked", f"{totals.get('submitted', 0):,} written"
        failed = numbered((totals.get("devices_failed", 0), "without a credible answer"))
        yield "Devices:   " + ", ".join([asked, *failed])
        users = [f"{totals.get(name, 0):,} {name}" for name in ("up", "down", "absent", "unknown")]
        yield "Users:     " + ", ".join(users)
        more = numbered((totals.get("failed", 0), "failed"))
        if status.held:
            more.append(f"{amount(status.held, 'user')} held by the guard{_released(status)}")
        yield "Writes:    " + ", ".join([written, *more])
    yield f"Problems:  {_problems(status)}"


def _released(status: Status) -> str:
    if not status.released:
        return " (`dzbgp release`)"
    which = "all" if status.released == status.held else f"{status.released:,} of them"
    return f", {which} released: written at the next pass"


def _problems(status: Status) -> str:
    if not status.problems:
        return "none"
    first = status.problems[0]
    more = f" (and {len(status.problems) - 1:,} more)" if len(status.problems) > 1 else ""
    return f"{first.line}, for {duration(max(status.now - first.since, 0))}{more}"
