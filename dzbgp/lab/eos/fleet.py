"""A fleet of simulated Arista devices that speak eAPI over HTTPS to an unmodified NAPALM.

Each listens on an address and port of its own. All live in one event loop in one thread: state is only
touched there, and serialised answers are kept until something changes, so hundreds of devices cost little.
"""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from dzbgp.lab.eos.device import (
    ADMIN_DOWN,
    LOCAL_ASN,
    STATES,
    USER_ASN,
    DeviceFault,
    EosDevice,
    EosFault,
    EosPeer,
)
from dzbgp.lab.eos.served import Served
from dzbgp.lab.eos.tls import make_tls
from dzbgp.lab.http import LoopThread

__all__ = [
    "ADMIN_DOWN",
    "LOCAL_ASN",
    "USER_ASN",
    "DeviceFault",
    "EosDevice",
    "EosFault",
    "EosFleet",
    "EosPeer",
]


class EosFleet:
    """Running devices. Made by `start`; a context manager; every method may be called from any thread."""

    def __init__(self, thread: LoopThread, devices: dict[str, Served], ca_pem: str) -> None:
        self._thread = thread
        self._devices = devices
        self._stopped = False
        self.ca_pem = ca_pem
        """The certificate of the CA that signed the devices' certificates."""

    @classmethod
    def start(cls, devices: Iterable[EosDevice], *, plain: bool = False) -> Self:
        """Let every device listen, and return when all do; `plain`: over http instead of https.

        Raises OSError, naming address and port, when one can't be listened on; then none listens. Raises
        ValueError when two devices have one code.
        """
        served: dict[str, Served] = {}
        for device in devices:
            if device.code in served:
                raise ValueError(f"two devices of the lab are called {device.code}")
            served[device.code] = Served(device)
        tls = make_tls([] if plain else [one.device.address for one in served.values()])

        async def listen() -> None:
            for one in served.values():
                one.tls = None if plain else tls.contexts[one.device.address]
                await one.listen()
            for one in served.values():
                one.apply_fault()

        thread = LoopThread("dzbgp-lab-eos")
        fleet = cls(thread, served, tls.ca_pem)
        try:
            thread.call(listen())
        except BaseException:
            fleet.stop()
            raise
        return fleet

    def stop(self) -> None:
        """Close every connection and stop listening. Do nothing the second time."""
        if self._stopped:
            return
        self._stopped = True

        async def close() -> None:
            for one in self._devices.values():
                one.close()

        self._thread.call(close())
        self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Where each device listens, by code."""
        return {code: (one.device.address, one.device.port) for code, one in self._devices.items()}

    def device(self, code: str) -> EosDevice:
        """Return the device called `code`: to be read, not changed. Raises KeyError."""
        return self._devices[code].device

    def requests(self, code: str) -> int:
        """Return how many HTTP requests the device has read so far, with any result."""
        return self._devices[code].requests

    def connections(self, code: str) -> int:
        """Return how many connections the device has accepted so far."""
        return self._devices[code].connections

    def hang_up(self, code: str) -> None:
        """Close the connections that the device has, as one does that were idle for long."""

        async def close() -> None:
            self._devices[code].hang_up()

        self._thread.call(close())

    def change(self, code: str, change: Callable[[EosDevice], None]) -> None:
        """Call `change` with the device where no request sees half of it; what it raises is raised here."""
        one = self._devices[code]

        async def run() -> None:
            try:
                change(one.device)
            finally:
                one.forget()
            fault = one.device.fault
            if one.server is None and (fault is None or fault.kind is not DeviceFault.REFUSE):
                await one.listen()
            one.apply_fault()

        self._thread.call(run())

    def set_fault(self, code: str, fault: EosFault | DeviceFault | None) -> None:
        """Put a fault in force from the next request on; None: the device works again."""
        wanted = EosFault(fault) if isinstance(fault, DeviceFault) else fault

        def put(device: EosDevice) -> None:
            device.fault = wanted

        self.change(code, put)

    def set_state(
        self,
        code: str,
        peer_address: str,
        state: str,
        *,
        idle_reason: str = "",
        rtt_us: int | None = None,
        established_s: float = 0.0,
    ) -> None:
        """Move a session to `state`; to Established counts as one transition more, even from Established.

        `rtt_us` None leaves the RTT as it is. Raises KeyError when there is no such device or neighbor, and
        ValueError for a state that BGP does not have.
        """
        if state not in STATES:
            raise ValueError(f"unknown BGP state {state!r}; expected one of {', '.join(STATES)}")

        def put(device: EosDevice) -> None:
            peer = device.peer(peer_address)
            peer.state = state
            peer.idle_reason = idle_reason
            peer.transitions += state == "Established"
            peer.established_s = established_s
            peer.changed_at = time.monotonic()
            if rtt_us is not None:
                peer.rtt_us = rtt_us

        self.change(code, put)

    def add_peer(self, code: str, peer: EosPeer) -> None:
        """Configure one neighbor more."""
        self.change(code, lambda device: device.peers.append(peer))

    def remove_peer(self, code: str, peer_address: str) -> None:
        """Take a neighbor out of the configuration. Raises KeyError when there is none."""
        self.change(code, lambda device: device.peers.remove(device.peer(peer_address)))
