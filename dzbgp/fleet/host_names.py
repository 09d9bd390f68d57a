"""The names of an inventory's hosts, for completion: only keys of YAML are read, and nothing is an error."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_KEY = re.compile(r"""(?m)^(?:"([^"\n]+)"|'([^'\n]+)'|([^\s#'"&*!|>%@{\[-][^\n]*?))\s*:(?:\s|$)""")
_HOST_FILE = re.compile(r"""(?m)^\s+host_file:\s*["']?([^"'\n#]+?)["']?\s*(?:#.*)?$""")
_LARGEST = 1 << 24


def host_names(given: Mapping[str, Any]) -> list[str]:
    """Return the names of the hosts of the inventory that the options name; none of one made of the ledger."""
    path = Path(given.get("inventory") or "")
    for file in _files(path):
        if (text := _read(file)) is not None:
            return ["".join(found) for found in _KEY.findall(text)]
    return []


def _files(path: Path) -> Iterator[Path]:
    yield path / "hosts.yaml"
    found = _HOST_FILE.search(_read(path) or "")
    named = Path(os.path.expanduser(found[1] if found else "hosts.yaml"))
    yield from (path.parent / named, path.parent / named.name, named)


def _read(file: Path) -> str | None:
    try:
        # A pipe would be waited for without end.
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
