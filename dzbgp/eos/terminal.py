"""A bound on what a device says over SSH. netmiko has none, but hands all that it reads to its session log."""

from netmiko.session_log import SessionLog

from dzbgp.eos import decoding


class Limit(SessionLog):
    """Lets an answer be as large as eAPI's. As a log it keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        # The greeting, and the answer to `show version`.
        self._most = decoding.MAX_OTHER_BYTES
        self._taken = 0

    def begin(self) -> None:
        """Begin with an answer about BGP."""
        self._most = decoding.MAX_ANSWER_BYTES
        self._taken = 0

    def write(self, data: str) -> None:
        """Take in a piece of an answer. Raises AnswerTooLargeError."""
        self._taken += len(data)
        if self._taken > self._most:
            raise decoding.too_large(self._most)
