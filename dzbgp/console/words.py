"""Words, numbers and durations as people read and write them: 90s, 1h30m; `12 min`, `5,000 users`, `4pNS..JmDQ`."""

import re
from datetime import UTC, datetime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LIMIT_S = 36_500 * 86_400
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_SHORTEST_KEY = 32


def parse_duration(text: str) -> float:
    """Return the seconds of a duration. Raises ValueError."""
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    if not _WHOLE.fullmatch(stripped):
        raise ValueError(f"invalid duration {text!r}: expected for example 90s, 5m or 6h")
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(stripped))
    if seconds > _LIMIT_S:
        raise ValueError(f"duration {text!r} is too long: expected at most 36500d")
    return seconds


def duration(seconds: float) -> str:
    """Return a duration in words: `45 s`, `12 min`, `7.3 h`, `4 d`."""
    for limit, unit, size in ((90, "s", 1), (90 * 60, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < limit:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if unit == "h" else f"{amount:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def moment(when: datetime) -> str:
    """Return a time for people: `2026-03-01 12:00:05 UTC`."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(when: datetime) -> str:
    """Return a time for JSON, in whole seconds: `2026-03-01T12:00:05Z`, which jq's `fromdate` reads."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def abbreviated(key: str) -> str:
    """Return the two ends of a key, enough to find it again: `4pNS..JmDQ`."""
    return f"{key[:4]}..{key[-4:]}"


def may_mean(text: str, key: str) -> bool:
    """Return whether `text` is a key's first characters, or its two ends as `abbreviated` shows them."""
    start, _, end = text.partition("..")
    return key.startswith(start) and key.endswith(end)


def name_or_key(text: str) -> str:
    """Return a name unchanged, and a key in place of a missing name shortened to its two ends."""
    return abbreviated(text) if len(text) > _SHORTEST_KEY else text


def loose(text: str) -> str:
    """Return what words of the program are compared by: `GREOverDIA` and `gre-over-dia` are the same."""
    return "".join(char for char in text.casefold() if char.isalnum())


def numbered(*facts: tuple[int, str]) -> list[str]:
    """Return the facts whose number is positive: `3 failed`."""
    return [f"{number:,} {word}" for number, word in facts if number > 0]


def amount(number: int, noun: str) -> str:
    """Return a number with its noun: `1 user`, `5,000 users`, `2 passes`."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def rtt_text(rtt_ns: int) -> str:
    """Return an RTT in milliseconds, `5.50 ms`; `-` where there was no sample."""
    return f"{rtt_ns / 1e6:.2f} ms" if rtt_ns else "-"
