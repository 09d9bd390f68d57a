"""Durations as people write them: 90s, 5m, 6h, 1h30m."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LIMIT_S = 36_500 * 86_400
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(text: str) -> float:
    """Gives the seconds of a duration. Raises ValueError."""
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    if not _WHOLE.fullmatch(stripped):
        raise ValueError(f"{text!r} is no duration; expected for example 90s, 5m or 6h")
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(stripped))
    if seconds > _LIMIT_S:
        raise ValueError(f"{text!r} is too long a duration; expected at most 36500d")
    return seconds
