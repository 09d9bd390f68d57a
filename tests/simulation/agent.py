"""Upstream's agent on a device: it reads its own sessions, remembers what it wrote, and writes beside the program.

As read in its public source: it seeds its memory from the ledger once and compares with that memory only, so what
another writer wrote it does not notice until its own session changes or the refresh is due.
"""

from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from dzbgp.models.ledger import BgpStatus, UserStatus
from simulation.chain import Report
from simulation.kernel import Kernel, Timer

if TYPE_CHECKING:
    from simulation.world import World

INTERVAL_S = 60.0
REFRESH_S = 6 * 3600.0


class Agent:
    """One device's agent."""

    def __init__(self, kernel: Kernel, world: "World", device: int) -> None:
        self._kernel, self._world, self._device = kernel, world, device
        self._memory: dict[Pubkey, tuple[BgpStatus, float]] = {}
        self._timer: Timer | None = kernel.after(world.random.uniform(0, INTERVAL_S), self._tick)

    def stop(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _tick(self) -> None:
        if self._timer is None:
            return
        self._timer = self._kernel.after(INTERVAL_S, self._tick)
        world, key = self._world, self._world.accounts[self._device].pubkey
        users = [user for user in world.chain.users() if user.device_pk == key]
        for user in users:
            if user.status is not UserStatus.ACTIVATED:
                self._memory.pop(user.pubkey, None)
                continue
            before = self._memory.get(user.pubkey, (user.bgp_status, self._kernel.now))
            seen = world.true_status(user.pubkey)
            if seen is None and before[0] is not BgpStatus.UP:
                continue
            status = seen or BgpStatus.DOWN
            self._memory.setdefault(user.pubkey, before)
            if status is before[0] and self._kernel.now - before[1] < REFRESH_S:
                continue
            self._memory[user.pubkey] = (status, self._kernel.now)
            rtt_ns = 5_000_000 if status is BgpStatus.UP else 0
            report = Report(user.pubkey, key, world.publisher.pubkey(), status, rtt_ns)
            # It signs for what it saw, and that lands a little later.
            self._kernel.after(world.random.uniform(0.5, 6.0), lambda report=report: self._land(report))  # type: ignore[misc]

    def _land(self, report: Report) -> None:
        if self._world.chain.refusal((report,)) is None:
            self._world._touch(report.user)
            self._world.chain.report(report, "agent")
