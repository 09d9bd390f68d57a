"""The fleet: matches an inventory's hosts to the ledger's devices, and asks them.

Devices are asked in rounds of a bounded length. A device that does not answer within its round is lost for it, and
delays nobody else; hosts that a round had no time for are asked in the next one.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Self, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task
from solders.pubkey import Pubkey

from dzbgp.decision.rules import Limits
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.tls import unverified
from dzbgp.errors import ClusterError, InventoryError
from dzbgp.fleet.dask.recipe import is_encrypted
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.matching import Match, Matcher
from dzbgp.fleet.options import TIMEOUT, UNSUPPORTED, FleetRequest
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


class _Round:
    """A Nornir processor that keeps each host's result, and lets no host begin once the round is over."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._begun: set[str] = set()
        self.results: dict[str, Result] = {}
        self.is_over = False

    def unanswered(self) -> set[str]:
        """Return the hosts that were asked and have not answered yet."""
        with self._lock:
            return self._begun - self.results.keys()

    def task_started(self, task: Task) -> None:
        """Nothing to do."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Nothing to do."""

    def task_instance_started(self, task: Task, host: Host) -> None:  # noqa: ARG002
        """Refuse a host once the round is over."""
        with self._lock:
            if self.is_over:
                raise _GivenUpError
            self._begun.add(host.name)

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002
        """Keep the result."""
        with self._lock:
            self.results[host.name] = result[0]
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
        self._late: list[_Round] = []
        """Rounds that are over, and have hosts that are still being asked."""
        self._timeout_s: float = nornir.config.user_defined.get(TIMEOUT, FleetRequest.device_timeout_s)
        self._unmatched: dict[str, str] = {}
        """Why the hosts that `match` found no device for have none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._nornir.data.reset_failed_hosts()
        self.forget(self.hosts)
        if isinstance(self._nornir.runner, DaskRunner):
            self._nornir.runner.close()

    def forget(self, names: Iterable[str]) -> None:
        """Close the connections to these hosts: the next question opens new ones."""
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
        """Return the device of each host, None where there is none (matching.py has the rule).

        Hosts of other shards are left out. Raises InventoryError when two hosts are one device, or when no host at all
        is a device.
        """
        matcher = Matcher(devices.values())
        found = {
            name: matcher.find(name, host.get("dz_device"), host.hostname)
            for name, host in self.hosts.items()
        }
        host_of: dict[Pubkey, str] = {}
        for name, match in found.items():
            if match.device is None:
                continue
            other = host_of.setdefault(match.device.pubkey, name)
            if other != name:
                raise InventoryError(
                    f"hosts {other!r} and {name!r} are both device {match.device.code}; expected one host a device"
                )
        self._unmatched = {name: match.error for name, match in found.items() if match.device is None}
        if not host_of and set(self._unmatched.values()) <= {Match().error}:
            raise InventoryError(
                f"no host of {len(found)} is one of the program's {len(devices)} devices; expected "
                "a host's dz_device, name or hostname to be a device's pubkey or code, code, or public_ip"
            )
        return {name: match.device for name, match in found.items() if self._takes(name, match.device)}

    def _takes(self, name: str, device: Device | None) -> bool:
        return self._shard is None or self._shard.takes(bytes(device.pubkey) if device else name.encode())

    def notes(self) -> list[str]:
        """Return what a person should know of how the fleet is asked."""
        told = self._unverified()
        if self._shard is not None:
            told.insert(0, f"This is shard {self._shard} of the fleet: the guard sees this part only.")
        runner = self._nornir.runner
        address = runner.joined if isinstance(runner, DaskRunner) else None
        if address is not None and not is_encrypted(address) and not _LOOPBACK.match(address):
            told.append(
                f"The devices were asked by the Dask cluster of {address}, which is not encrypted: anyone on the "
                "network path can change what they say, and run code here (use tls://)."
            )
        return told

    def _unverified(self) -> list[str]:
        """Return, once for the whole fleet, how many devices need not prove who they are."""
        connections = [host.get_connection_parameters(CONNECTION) for host in self.hosts.values()]
        return [
            f"{sentence[:1].upper()}{sentence[1:]} ({remedy})."
            for sentence, remedy in unverified(connections)
        ]

    def limits(self, usual: Limits) -> dict[str, Limits]:
        """Return what the guard lets hosts lose that have limits of their own. Raises InventoryError."""
        found = {}
        for name, host in self.hosts.items():
            share, least = host.get("dz_max_down"), host.get("dz_max_down_min")
            if share is not None or least is not None:
                found[name] = Limits(
                    usual.max_down if share is None else _share(name, share),
                    usual.max_down_min if least is None else _count(name, least),
                )
        return found

    def identity_checks(self) -> dict[str, bool]:
        """Return, for hosts that say so (dz_identity_check), whether their identity is checked.

        Raises InventoryError.
        """
        found = {}
        for name, host in self.hosts.items():
            said = host.get("dz_identity_check")
            if said is None:
                continue
            if not isinstance(said, bool):
                raise InventoryError(f"host {name!r}: dz_identity_check: {said!r}, expected true or false")
            found[name] = said
        return found

    def scope(self, devices: Mapping[Pubkey, Device]) -> list[Pubkey]:
        """Return the keys of the devices that the hosts are."""
        return [device.pubkey for device in self.match(devices).values() if device is not None]

    def read(
        self,
        matched: Mapping[str, Device | None],
        progress: Progress = lambda _: None,
        check: Callable[[], None] = lambda: None,
        within_s: float = math.inf,
    ) -> list[DeviceReading]:
        """Ask every matched host for its BGP neighbors, in parallel; unmatched hosts are not asked.

        A host that does not answer within `within_s` has failed. What `check` raises, which is called every now and
        then, is raised at once, and nobody is waited for any more.
        """
        waiting = {name: device for name, device in matched.items() if device is not None}
        found: dict[str, DeviceReading] = {}
        while waiting:
            found |= self._round(waiting, progress, check, within_s)
            waiting = {name: device for name, device in waiting.items() if name not in found}
        read = [found.get(name) or self._unmatched_reading(name) for name in matched]
        return [*read, *self._unsupported()]

    def _unsupported(self) -> list[DeviceReading]:
        """Return what is reported of the chosen hosts of other platforms."""
        unsupported: Mapping[str, str] = self._nornir.config.user_defined.get(UNSUPPORTED, {})
        return [
            DeviceReading(name, DeviceResult.UNSUPPORTED, error=why)
            for name, why in unsupported.items()
            if self._takes(name, None)
        ]

    def recheck(
        self,
        due: Mapping[str, Device],
        progress: Progress = lambda _: None,
        within_s: float = math.inf,
    ) -> dict[str, DeviceReading]:
        """Ask hosts for their neighbors and RTTs, for `within_s` at most; return what was read, by host.

        A host that did not answer in time has failed; one that there was no time for is not in the result.
        """
        try:
            return self._round(due, progress, lambda: None, within_s)
        except ClusterError as error:
            # What needs no second look stands.
            log.warning("no second look: %s", error)
            return {
                name: DeviceReading(name, DeviceResult.FAILED, device, str(error))
                for name, device in due.items()
            }

    def _unmatched_reading(self, name: str) -> DeviceReading:
        error = self._unmatched.get(name, Match().error)
        return DeviceReading(name, DeviceResult.UNMATCHED, error=error)

    def _round(
        self,
        devices: Mapping[str, Device],
        progress: Progress,
        check: Callable[[], None],
        within_s: float,
    ) -> dict[str, DeviceReading]:
        """Return the readings of all that were asked; at least one, if there is any host at all."""
        results = self._run(bgp_neighbors, list(devices), progress, check, within_s)
        late = f"no answer within {within_s:g} s"
        readings = {}
        for name, result in results.items():
            device = devices[name]
            if result is None:
                readings[name] = DeviceReading(name, DeviceResult.FAILED, device, late, is_late=True)
            elif result.failed:
                readings[name] = DeviceReading(name, DeviceResult.FAILED, device, str(result.result))
            else:
                seen = result.result
                readings[name] = DeviceReading(
                    name, DeviceResult.OK, device, vrfs=seen.vrfs, neighbors=seen.neighbors, notes=seen.notes
                )
        return readings

    def ask(
        self,
        task: Callable[..., Result],
        names: Sequence[str],
        progress: Progress,
        failed: Callable[[str], T],
    ) -> dict[str, T]:
        """Run a task that takes `timeout_s` on these hosts; return its results, where it failed `failed` of why."""
        results = self._run(task, names, progress)
        return {
            name: failed("no answer" if answer is None else str(answer.result))
            if answer is None or answer.failed
            else answer.result
            for name, answer in results.items()
        }

    def _run(
        self,
        task: Callable[..., Result],
        names: Sequence[str],
        progress: Progress,
        check: Callable[[], None] = lambda: None,
        within_s: float = math.inf,
    ) -> dict[str, Result | None]:
        """Return the results, in the order of `names`: None for a host that was asked and did not answer in time."""
        ends_at = time.monotonic() + within_s
        # A run that was given up may still be waiting for devices, whose connections are the same.
        if self._running is not None:
            _awaited(self._running, check, ends_at)
        self._late = [one for one in self._late if one.unanswered()]
        busy = {name for one in self._late for name in one.unanswered()}
        wanted = frozenset(names) - busy
        self._nornir.data.reset_failed_hosts()
        chosen = self._nornir.filter(filter_func=lambda host: host.name in wanted)
        asked = _Round(progress)
        observed = chosen.with_processors([asked])
        self._running = _begun(lambda: observed.run(task=task, name=task.__name__, timeout_s=self._timeout_s))
        try:
            is_done = _awaited(self._running, check, ends_at)
        except BaseException:
            asked.is_over = True
            raise
        ended, self._running = self._running, None
        if is_done:
            found: dict[str, Result | None] = {name: one[0] for name, one in ended.result().items()}
        else:
            asked.is_over = True
            self._late.append(asked)
            found = dict.fromkeys(asked.unanswered()) | asked.results
            if not found:
                # Nobody even began: what stands in the way will not go by waiting.
                found = dict.fromkeys(names)
        found |= dict.fromkeys(busy & set(names))
        return {name: found[name] for name in names if name in found}


def _begun(work: Callable[[], T]) -> "Future[T]":
    """Run `work` in a thread. Nornir's own waiting would end with the last device only."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    threading.Thread(target=run, name="fleet", daemon=True).start()
    return future


def _awaited(future: "Future[Any]", check: Callable[[], None], ends_at: float) -> bool:
    """Wait until it is done, or until then; return whether it is. Raises what `check` raises, and on an interrupt."""
    # A signal that comes just before the wait begins does not end the wait: its handler runs at the next look.
    while not wait([future], max(0.0, min(_LOOK_S, ends_at - time.monotonic()))).done:
        if time.monotonic() >= ends_at:
            return False
        check()
    return True


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InventoryError(f"host {name!r}: dz_max_down: {value!r}, expected a number from 0 to 1")
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InventoryError(f"host {name!r}: dz_max_down_min: {value!r}, expected a whole number")
    return value
