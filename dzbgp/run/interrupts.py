"""When a signal may end what is going on: after a write has begun, the report comes first."""


class Interrupts:
    """Delays no signal: a Python program has its own signal handlers."""

    is_begun = False
    """Whether a write may have been sent."""

    def begin(self) -> None:
        """Note that a write is about to be made. A signal stops it early."""
        self.is_begun = True

    def hold(self) -> None:
        """Let a signal wait from here on."""

    def release(self) -> bool:
        """Let a signal end what is going on again. Return False if one came meanwhile; they are held then still."""
        return True
