"""JSON as every command prints it: indented, in plain ASCII, without a final newline."""

import json
import re
from typing import Any

import msgspec

_NOT_PRINTABLE = re.compile(r"[^\x00-\x7e]")


def json_text(document: Any) -> str:
    """Return a document as text. Its values are those of JSON; no number is infinite.

    msgspec does it in a tenth of the time and half the memory, but knows no numbers beyond 64 bits and no halves of
    surrogates, which the names of files may hold.
    """
    try:
        text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    except (OverflowError, UnicodeEncodeError):
        return json.dumps(document, indent=2, allow_nan=False)
    if text.isascii() and "\x7f" not in text:
        return text
    return _NOT_PRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)
