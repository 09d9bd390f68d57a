"""The lab's onchain program: its C source, the script that builds it, and the built file."""

from importlib.resources import files

BUILT = "bgp_status.so"


def elf() -> bytes:
    """Return the built program, as the repository and the wheel carry it."""
    return files(__name__).joinpath(BUILT).read_bytes()
