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


def duration(seconds: float) -> str:
    """Gives a duration as people say it: `45 s`, `12 min`, `7.3 h`, `4 d`."""
    for limit, unit, size in ((90, "s", 1), (90 * 60, "min", 60), (48 * 3600, "h", 3600)):
        if seconds < limit:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if unit == "h" else f"{amount:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def abbreviated(key: str) -> str:
    """Gives the two ends of a key, enough to find it again: `4pNS..JmDQ`."""
    return f"{key[:4]}..{key[-4:]}"


def numbered(*facts: tuple[int, str]) -> list[str]:
    """Gives the facts that there are any of."""
    return [f"{number:,} {word}" for number, word in facts if number > 0]


def one_line(text: str) -> str:
    """Gives text from outside on one line, without control characters, lone surrogates and the like."""
    if text.isascii() and text.isprintable():
        return text
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def amount(number: int, noun: str) -> str:
    """Gives a number with its noun: `1 user`, `5,000 users`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rtt_text(rtt_ns: int) -> str:
    """Gives an RTT as people read it, `5.50 ms`; `-` where there was no sample."""
    return f"{rtt_ns / 1e6:.2f} ms" if rtt_ns else "-"


GOOD = "green"


BAD = "red"
