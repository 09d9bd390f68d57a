"""Files that are replaced as a whole."""

import contextlib
import os
import secrets
from pathlib import Path


def replace_file(file: Path, content: bytes) -> None:
    """Replace `file` as a whole, so that nobody reads half of it. Raises OSError, and leaves nothing behind then.

    The new file is made beside it under a name that nobody can guess, and never through a link that somebody planted.
    """
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, 0o666), "wb") as opened:
        try:
            opened.write(content)
            opened.flush()
            fresh.replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
