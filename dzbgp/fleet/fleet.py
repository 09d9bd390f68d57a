"""The fleet: matches an inventory's hosts to the ledger's devices, and asks them.

How devices are asked within a bound of time is in rounds.py, which device a host is in matching.py.
"""

import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import Result
from solders.pubkey import Pubkey

from dzbgp.console.filters import Filter, contributor_filter
from dzbgp.decision.rules import Limits
from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.tls import unverified
from dzbgp.eos.trust import KnownKeys
from dzbgp.errors import ClusterError, InventoryError, UsageError
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.dask.secrets import is_encrypted
from dzbgp.fleet.matching import Match, Matcher
from dzbgp.fleet.options import TIMEOUT, UNSUPPORTED, FleetRequest
from dzbgp.fleet.rounds import Progress, Rounds
from dzbgp.fleet.shard import Shard
from dzbgp.fleet.workers import tell_known
from dzbgp.models.ledger import Contributor, Device
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.tasks.bgp_neighbors import bgp_neighbors

log = logging.getLogger(__name__)

_LOOPBACK = re.compile(r"[a-z]+://(127\.|localhost:|\[::1\])")

T = TypeVar("T")


class Fleet:
    """The hosts of an inventory, or a shard of them. A context manager: leaving it closes the connections."""

    def __init__(self, nornir: Nornir, shard: Shard | None = None) -> None:
        self._nornir = nornir
        self.hosts: Mapping[str, Host] = nornir.inventory.hosts
        """The hosts that were chosen, those of other contributors too."""
        self._shard = shard
        self._contributors: dict[Pubkey, Contributor] = {}
        """The contributors whose devices are asked; empty: all."""
        self._owned: Mapping[str, Host] = self.hosts
        """The hosts without those of other contributors, once `match` knows them."""
        timeout_s = nornir.config.user_defined.get(TIMEOUT, FleetRequest.device_timeout_s)
        self._rounds = Rounds(nornir, timeout_s)
        self._known = KnownKeys()
        self.trust(self._known)
        self._unmatched: dict[str, str] = {}
        """Why the hosts that `match` found no device for have none."""

    def trust(self, known: KnownKeys) -> None:
        """Expect of the devices the certificates and host keys that they have shown before."""
        self._known = known
        tell_known(self._nornir, known)

    def choose_contributors(self, wanted: Sequence[str], known: Collection[Contributor]) -> None:
        """Choose the hosts whose devices belong to these contributors (codes or keys; empty: all hosts).

        `known`: all contributors of the ledger. Raises UsageError for a name that none has.
        """
        found: Filter[Contributor] = contributor_filter("--contributor", wanted, lambda one: one, known)
        self._contributors = {one.pubkey: one for one in found.choose(known)} if wanted else {}

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

    def match(self, devices: Mapping[Pubkey, Device]) -> dict[str, Device | None]:
        """Return the device of each host, None where there is none (matching.py has the rule).

        Hosts of other contributors and of other shards are left out. Raises InventoryError when two hosts are one
        device, or when no host at all is a device, and UsageError when no host matches.
        """
        matcher = Matcher(devices.values())
        found = {
            name: matcher.find(name, host.get("dz_device"), host.hostname)
            for name, host in self.hosts.items()
        }
        if not any(match.candidates for match in found.values()):
            raise InventoryError(
                f"no host of {len(found)} is one of the program's {len(devices)} devices; expected "
                "a host's dz_device, name or hostname to be a device's pubkey or code, code, or public_ip"
            )
        found = {name: match for name, match in found.items() if self._owns(match)}
        if not found:
            names = ",".join(one.code or str(one.pubkey) for one in self._contributors.values())
            raise UsageError(f"--contributor {names}: no host matches")
        self._owned = {name: self.hosts[name] for name in found}
        host_of: dict[Pubkey, str] = {}
        for name, match in found.items():
            if match.device is None:
                continue
            other = host_of.setdefault(match.device.pubkey, name)
            if other != name:
                raise InventoryError(
                    f"hosts {other!r} and {name!r} are both device {match.device.code}; "
                    "expected one host for each device"
                )
        self._unmatched = {name: match.error for name, match in found.items() if match.device is None}
        return {name: match.device for name, match in found.items() if self._takes(name, match.device)}

    def _owns(self, match: Match) -> bool:
        """Return whether the host may be a device of the chosen contributors."""
        return not self._contributors or any(
            one.contributor_pk in self._contributors for one in match.candidates
        )

    def _takes(self, name: str, device: Device | None) -> bool:
        return self._shard is None or self._shard.takes(bytes(device.pubkey) if device else name.encode())

    def part_of(self, devices: Collection[Pubkey]) -> Collection[Pubkey]:
        """Return which devices belong to the shard; without one all do."""
        shard = self._shard
        return devices if shard is None else {device for device in devices if shard.takes(bytes(device))}

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
                "network path can change their answers and run code here (use tls://)."
            )
        return told

    def _unverified(self) -> list[str]:
        """Return, once for the whole fleet, how many devices need not prove who they are."""
        connections = [host.get_connection_parameters(CONNECTION) for host in self._owned.values()]
        return [
            f"{sentence[:1].upper()}{sentence[1:]} ({remedy})."
            for sentence, remedy in unverified(connections, is_kept=self._known.is_kept)
        ]

    def limits(self, usual: Limits) -> dict[str, Limits]:
        """Return what the guard lets hosts lose that have limits of their own. Raises InventoryError."""
        found = {}
        for name, host in self._owned.items():
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
        for name, host in self._owned.items():
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
        """Return what is reported of the chosen hosts of other platforms; whose devices they are is not known."""
        if self._contributors:
            return []
        unsupported: Mapping[str, str] = self._nornir.config.user_defined.get(UNSUPPORTED, {})
        return [
            DeviceReading(name, DeviceResult.UNSUPPORTED, error=why)
            for name, why in unsupported.items()
            if self._takes(name, None)
        ]

    def recheck(
        self, due: Mapping[str, Device], progress: Progress = lambda _: None, within_s: float = math.inf
    ) -> dict[str, DeviceReading]:
        """Ask hosts for their neighbors and RTTs, for `within_s` at most; return what was read, by host.

        A host that did not answer in time has failed; one that there was no time for is not in the result.
        """
        try:
            return self._round(due, progress, lambda: None, within_s)
        except ClusterError as error:
            # A decision that needs no second look is kept.
            log.warning("no second look: %s", error)
            return {
                name: DeviceReading(name, DeviceResult.FAILED, device, str(error))
                for name, device in due.items()
            }

    def _unmatched_reading(self, name: str) -> DeviceReading:
        error = self._unmatched.get(name, Match().error)
        return DeviceReading(name, DeviceResult.UNMATCHED, error=error)

    def _round(
        self, devices: Mapping[str, Device], progress: Progress, check: Callable[[], None], within_s: float
    ) -> dict[str, DeviceReading]:
        """Return the readings of all that were asked; at least one, if there is any host at all."""
        results = self._rounds.run(bgp_neighbors, list(devices), progress, check, within_s)
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
        results = self._rounds.run(task, names, progress)
        return {
            name: failed("no answer" if answer is None else str(answer.result))
            if answer is None or answer.failed
            else answer.result
            for name, answer in results.items()
        }


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InventoryError(f"host {name!r}: dz_max_down: {value!r}, expected a number from 0 to 1")
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InventoryError(f"host {name!r}: dz_max_down_min: {value!r}, expected a whole number")
    return value
