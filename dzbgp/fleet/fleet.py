"""The fleet: matches an inventory's hosts to the ledger's devices, and asks them.

With tasks/ and inventory.py the only place that knows Nornir.
"""

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from types import MappingProxyType
from typing import Any, Self, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task
from solders.pubkey import Pubkey

from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.tls import unverified
from dzbgp.errors import ClusterError, InventoryError
from dzbgp.fleet.dask.recipe import is_encrypted
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.options import TIMEOUT, FleetRequest
from dzbgp.fleet.shard import Shard
from dzbgp.models.ledger import Device
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.tasks.bgp_neighbors import bgp_neighbors

log = logging.getLogger(__name__)

_LOOK_S = 0.5
"""How long a signal may go unnoticed while devices are asked."""

_LOOPBACK = re.compile(r"[a-z]+://(127\.|localhost:|\[::1\])")

T = TypeVar("T")
Progress = Callable[[str], None]
"""Called with a host's name when it was asked."""


class _GivenUpError(Exception):
    """Nobody waits for this run any more."""


class _OnHost:
    """A Nornir processor that reports each host when it was asked, and lets none begin once the run is given up."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.is_given_up = False

    def task_started(self, task: Task) -> None:
        """Nothing to do."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Nothing to do."""

    def task_instance_started(self, task: Task, host: Host) -> None:  # noqa: ARG002
        """Refuses the host of a run that was given up."""
        if self.is_given_up:
            raise _GivenUpError

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002
        """Reports the host."""
        self._progress(host.name)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Nothing to do."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Nothing to do."""


class Fleet:
    """The hosts of an inventory, or a shard of them. A context manager: leaving it closes the connections."""

    def __init__(self, nornir: Nornir, shard: Shard | None = None) -> None:
        self._nornir = nornir
        self._shard = shard
        self._running: Future[AggregatedResult] | None = None
        self._timeout_s: float = nornir.config.user_defined.get(TIMEOUT, FleetRequest.device_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._nornir.data.reset_failed_hosts()
        self.forget(self.hosts)
        if isinstance(self._nornir.runner, DaskRunner):
            self._nornir.runner.close()

    def forget(self, names: Iterable[str]) -> None:
        """Closes the connections to these hosts: the next question opens new ones."""
        for name in names:
            try:
                self.hosts[name].close_connections()
            except Exception:
                log.debug("host %s: closing", name, exc_info=True)

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts that were chosen."""
        return self._nornir.inventory.hosts

    def match(self, devices: Mapping[Pubkey, Device]) -> dict[str, Device | None]:
        """Gives the device of each host, None where there is none.

        A host names its device by its data `dz_device` (pubkey or code), else by being called as the device's
        code, else by its hostname being the device's public_ip. Hosts of other shards are left out. Raises
        InventoryError when two hosts are one device, or when no host at all is a device.
        """
        by_name = {str(device.pubkey): device for device in devices.values()}
        by_code = {device.code: device for device in devices.values()}
        by_address = {device.public_ip: device for device in devices.values()}
        matched: dict[str, Device | None] = {}
        host_of: dict[Pubkey, str] = {}
        for name, host in self.hosts.items():
            named = host.get("dz_device")
            if named is not None:
                device = by_name.get(str(named)) or by_code.get(str(named))
            else:
                device = by_code.get(name) or by_address.get(host.hostname or "")
            matched[name] = device
            if device is None:
                continue
            other = host_of.setdefault(device.pubkey, name)
            if other != name:
                raise InventoryError(
                    f"hosts {other!r} and {name!r} are both device {device.code}; expected one host a device"
                )
        if not host_of:
            raise InventoryError(
                f"no host of {len(matched)} is one of the program's {len(devices)} devices; expected "
                "a host's dz_device, name or hostname to be a device's pubkey or code, code, or public_ip"
            )
        return {name: device for name, device in matched.items() if self._takes(name, device)}

    def _takes(self, name: str, device: Device | None) -> bool:
        return self._shard is None or self._shard.takes(bytes(device.pubkey) if device else name.encode())

    def notes(self) -> list[str]:
        """Says what a person should know of how the fleet is asked."""
        told = self._unverified()
        if self._shard is not None:
            told.insert(0, f"This is shard {self._shard} of the fleet: the guard judges this part only.")
        runner = self._nornir.runner
        address = runner.joined if isinstance(runner, DaskRunner) else None
        if address is not None and not is_encrypted(address) and not _LOOPBACK.match(address):
            told.append(
                f"The devices were asked by the Dask cluster of {address}, which is not encrypted: who is on the way "
                "can change what they say, and run code here (use tls://)."
            )
        return told

    def _unverified(self) -> list[str]:
        """Says, once for the whole fleet, how many devices need not prove who they are."""
        connections = [host.get_connection_parameters(CONNECTION) for host in self.hosts.values()]
        return [
            f"{sentence[:1].upper()}{sentence[1:]} ({remedy})."
            for sentence, remedy in unverified(connections)
        ]

    def scope(self, devices: Mapping[Pubkey, Device]) -> list[Pubkey]:
        """Gives the keys of the devices that the hosts are."""
        return [device.pubkey for device in self.match(devices).values() if device is not None]

    def read(
        self,
        matched: Mapping[str, Device | None],
        progress: Progress = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> list[DeviceReading]:
        """Asks every matched host for its BGP neighbors, in parallel; unmatched hosts are not asked.

        What `check` raises, which is called every now and then, is raised at once, and nobody is waited for any more.
        """
        asked = [name for name, device in matched.items() if device is not None]
        results = self._run(bgp_neighbors, asked, progress, check, {"timeout_s": self._timeout_s})
        readings = []
        for name, device in matched.items():
            if device is None:
                error = "no device of the program is called so (dz_device, host name or hostname)"
                readings.append(DeviceReading(name, DeviceResult.UNMATCHED, error=error))
                continue
            result = results[name][0]
            readings.append(self._reading(name, device, result))
        return readings

    @staticmethod
    def _reading(name: str, device: Device | None, result: Result) -> DeviceReading:
        if result.failed:
            return DeviceReading(name, DeviceResult.FAILED, device, str(result.result))
        seen = result.result
        return DeviceReading(
            name, DeviceResult.OK, device, vrfs=seen.vrfs, neighbors=seen.neighbors, notes=seen.notes
        )

    def look_again(
        self,
        again: Mapping[str, Device | None],
        addresses: Mapping[str, Collection[str]],
        progress: Progress = lambda _: None,
    ) -> tuple[list[DeviceReading], dict[str, dict[str, int]]]:
        """Asks the hosts of `again` for their neighbors once more, and those of `addresses` for RTTs, in one go.

        Gives the readings, and by host the RTT in nanoseconds of the neighbors asked for that have a sample. A
        host that fails has none: an RTT is worth having, not worth failing for.
        """
        asked = [*again.keys() | addresses.keys()]
        try:
            results = self._run(bgp_neighbors, asked, progress, params={"timeout_s": self._timeout_s})
        except ClusterError as error:
            # The first look's worth stands, but for what needs a second one.
            log.warning("no second look: %s", error)
            return [
                DeviceReading(name, DeviceResult.FAILED, device, str(error)) for name, device in again.items()
            ], {}
        readings = [self._reading(name, device, results[name][0]) for name, device in again.items()]
        rtts = {
            name: {
                neighbor.address: neighbor.rtt_ns
                for neighbor in results[name][0].result.neighbors
                if neighbor.address in wanted and neighbor.rtt_ns
            }
            for name, wanted in addresses.items()
            if not results[name][0].failed
        }
        return readings, rtts

    def ask(
        self,
        task: Callable[..., Result],
        names: Sequence[str],
        progress: Progress,
        failed: Callable[[str], T],
    ) -> dict[str, T]:
        """Run a task that takes `timeout_s` on these hosts; return its results, where it failed `failed` of why."""
        results = self._run(task, names, progress, params={"timeout_s": self._timeout_s})
        answers = {name: results[name][0] for name in names}
        return {
            name: failed(str(answer.result)) if answer.failed else answer.result
            for name, answer in answers.items()
        }

    def _run(
        self,
        task: Callable[..., Any],
        names: Sequence[str],
        progress: Progress,
        check: Callable[[], None] = lambda: None,
        params: Mapping[str, Any] = MappingProxyType({}),
    ) -> AggregatedResult:
        # One that was given up may still be waiting for devices, whose connections are the same.
        if self._running is not None:
            _awaited(self._running, check)
        wanted = frozenset(names)
        self._nornir.data.reset_failed_hosts()
        chosen = self._nornir.filter(filter_func=lambda host: host.name in wanted)
        hosts = _OnHost(progress)
        observed = chosen.with_processors([hosts])
        self._running = _begun(lambda: observed.run(task=task, name=task.__name__, **params))
        try:
            _awaited(self._running, check)
        except BaseException:
            hosts.is_given_up = True
            raise
        ended, self._running = self._running, None
        return ended.result()


def _begun(work: Callable[[], T]) -> "Future[T]":
    """Runs `work` in a thread. Nornir's own waiting would end with the last device only."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, name="fleet", daemon=True).start()
    return future


def _awaited(future: "Future[Any]", check: Callable[[], None]) -> None:
    """Waits until it is done. A KeyboardInterrupt ends that, and whatever `check` raises."""
    # A signal that comes just before the wait begins does not end the wait: its handler runs at the next look.
    while not wait([future], _LOOK_S).done:
        check()
