"""The service's state, for systemd (sd_notify(3)); nothing happens where systemd did not start it."""

import logging
import math
import os
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

_SEND_TIMEOUT_S = 1.0
"""A service manager that does not read must not hold up the service."""


class Notifier:
    """Sends states to the socket that systemd named in NOTIFY_SOCKET. For any number of threads."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of Linux's abstract namespace.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        watchdog_us = environ.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdecimal() else 0.0
        self._alive_at = -math.inf

    @property
    def feed_s(self) -> float:
        """How often `alive` wants to be called, in seconds; infinite without a watchdog."""
        return self._watchdog_s / 4 or math.inf

    def ready(self) -> None:
        """The service has started, or has ended a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The service reads its inventory again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def status(self, line: str) -> None:
        """What `systemctl status` shows."""
        # A line break would begin another assignment.
        self._send(f"STATUS={' '.join(line.split())}")

    def alive(self) -> None:
        """Feed the watchdog, a few times in each period of its timeout."""
        now = time.monotonic()
        if self._watchdog_s and now - self._alive_at >= self.feed_s:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_TIMEOUT_S)
                sender.sendto(state.encode(errors="replace"), self._address)
        except OSError:
            # Nobody to tell it to: the service manager has gone away, the service has not.
            return


class Heartbeat:
    """A pass's progress that feeds the watchdog: it only fires when nothing moves any more."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def stage(self, name: str, total: int) -> None:
        """Feed the watchdog."""
        log.debug("stage=%s total=%d", name, total)
        self._notifier.alive()

    def step(self, count: int = 1) -> None:  # noqa: ARG002 - Progress's own signature
        """Feed the watchdog."""
        self._notifier.alive()
