"""Files that are replaced as a whole."""

import contextlib
import os
import secrets
from pathlib import Path


def replace_file(file: Path, content: bytes, mode: int | None = None) -> None:
    """Replace `file` as a whole, so that nobody reads half of it. Raises OSError, and leaves nothing behind then.

    The new file is made beside it under a name that nobody can guess, and never through a link that somebody planted.
    `mode`: its permissions, from the first byte on; None: those of any new file.
    """
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, 0o666 if mode is None else 0o600), "wb") as opened:
        try:
            opened.write(content)
            opened.flush()
            if mode is not None:
                fresh.chmod(mode)
            fresh.replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
