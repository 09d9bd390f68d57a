"""What may be shown of an RPC: its URL may hold an access token, and it may repeat that in its own words."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_WORDS = 200
"""Characters of an RPC's own words in a message."""
_MIN_SECRET = 4
# Anything else in place of a host is a typing error, such as a backslash or a blank before the path.
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+")


def redact(url: str) -> str:
    """Return the part of an RPC URL that may be shown: scheme, host and port. The rest is secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "<malformed URL>"
    if not parts.scheme or not parts.hostname or not _HOST.fullmatch(parts.hostname):
        return "<malformed URL>"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


class Redactor:
    """A filter that makes the text of an RPC safe to show.

    They may hold control characters, and a proxy may repeat the path of the request, which is an access token.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        secrets = sorted({secret for url in urls for secret in _secrets(url)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, secrets)), re.IGNORECASE) if secrets else None

    def text(self, words: object) -> str:
        """Return `words` printable, on one line, without any part of the URLs, at most MAX_WORDS characters."""
        clean = self.line(words)
        return clean if len(clean) <= MAX_WORDS else f"{clean[: MAX_WORDS - 3]}..."

    def line(self, words: object) -> str:
        """Do the same at any length."""
        printable = "".join(char if char.isprintable() else " " for char in str(words))
        clean = " ".join(printable.split())
        return self._pattern.sub("***", clean) if self._pattern else clean

    def json(self, value: Any) -> Any:
        """Return a JSON value with all of its texts made fit to be shown."""
        if isinstance(value, str):
            return self.line(value)
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {self.line(key): self.json(item) for key, item in value.items()}
        return value


def _secrets(url: str) -> set[str]:
    """Return every part of a URL but scheme, host and port, as written and decoded."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    user_info = parts.netloc.rpartition("@")[0]
    texts = {user_info, *user_info.split(":", 1), *parts.path.split("/"), parts.query, parts.fragment}
    texts |= {text for pair in parse_qsl(parts.query, keep_blank_values=True) for text in pair}
    texts |= {text for pair in parts.query.split("&") for text in pair.split("=", 1)}
    texts |= {unquote(text) for text in texts}
    return {text for text in texts if len(text) >= _MIN_SECRET} | ({parts.path} - {"", "/"})
