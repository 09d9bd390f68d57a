"""Between NAPALM's getters and a device: see each answer as it came, and hand on only what NAPALM needs of it.

So one request serves both NAPALM and a reading of our own, and an answer of hostile size never becomes Python objects.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

Take = Callable[[str, msgspec.Raw | None], Any]
"""Given a command and the JSON that it was answered with (None: not JSON), returns what NAPALM is to see of it."""

Ask = Callable[[Callable[[str], str], str], msgspec.Raw | None]
"""Given what sends a line to a terminal, and a command, returns the command's JSON, None for any other answer."""

_PIPE = " | json"


class GetterError(Exception):
    """NAPALM's getter could not read the answers, which all have arrived. Its own error is the cause."""


class Tap:
    """The answers to one call of a getter pass through here."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self.is_waiting = False
        """The device has been asked, and not every answer is taken: an error is not one of NAPALM's reading."""

    def hand_on(self, commands: Sequence[Any], ask: Callable[[], Sequence[msgspec.Raw | None]]) -> list[Any]:
        """Return what NAPALM is to see of the answers. Raises what `ask` and `take` raise."""
        self.is_waiting = True
        taken = [
            self._take(command, answer) if isinstance(command, str) else None
            for command, answer in zip(commands, ask(), strict=False)
        ]
        self.is_waiting = False
        return taken

    @contextmanager
    def on_terminal(self, terminal: Any, ask: Ask) -> Iterator[None]:
        """Let the answers to what NAPALM asks of netmiko's `terminal` meanwhile pass through here."""
        send = terminal.send_command

        def send_command(command: str, **_: Any) -> str:
            shown = command.removesuffix(_PIPE)
            return msgspec.json.encode(self.hand_on([shown], lambda: [ask(send, shown)])[0]).decode()

        terminal.send_command = send_command
        try:
            yield
        finally:
            # What is left is the method of netmiko's class.
            del terminal.send_command
