"""From readings to decisions, with all that a pass knows: the ledger's data, the rules, the memory, the keys."""

import dataclasses
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from msgspec.structs import replace
from solders.pubkey import Pubkey

from dzbgp.decision.policy import Clock, decide, withheld
from dzbgp.decision.resolver import assess_credibility, resolve, unexplained, users_by_device
from dzbgp.decision.second_look import confirmed_observation
from dzbgp.ledger.program.cache import Fetched
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus, ProgramData, User
from dzbgp.models.session import DeviceReading, Look, Observation
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import NEW_USER_S, Memory, OtherWriters


@dataclass(frozen=True, slots=True)
class Decider:
    """Turns what the devices said into decisions."""

    fetched: Fetched
    clock: Clock
    options: PassOptions
    memory: Memory
    users: Mapping[Pubkey, Sequence[User]]
    """The activated users of each device."""
    others: OtherWriters
    identity_checks: Mapping[str, bool]
    """Of hosts that say so themselves."""
    is_memory_old: bool = False
    """Whether it is long enough that a user missing from it is new."""

    @classmethod
    def of(
        cls,
        fetched: Fetched,
        now: float,
        options: PassOptions,
        memory: Memory,
        identity_checks: Mapping[str, bool],
        devices: Collection[Pubkey],
    ) -> Self:
        """Return the decider of a pass over `devices` that began at `now`, in Unix seconds.

        What is remembered of other devices may be old: another run may write for them.
        """
        data = fetched.data
        users = users_by_device(data)
        return cls(
            fetched=fetched,
            clock=Clock(data.slot, data.seconds_per_slot, now, read_slot=data.newest_slot),
            options=options,
            memory=memory,
            users=users,
            others=memory.other_writers(chain.from_iterable(users.get(key, ()) for key in devices)),
            identity_checks=identity_checks,
            is_memory_old=memory.is_older_than(NEW_USER_S, now),
        )

    @property
    def data(self) -> ProgramData:
        """The program's accounts as of this pass."""
        return self.fetched.data

    def assess(self, readings: Iterable[DeviceReading]) -> list[DeviceReading]:
        """Return the readings, as suspect where they are not credible."""
        usual = self.options.identity_check
        return [
            assess_credibility(
                reading, self._users_of(reading), identity_check=self.identity_checks.get(reading.host, usual)
            )
            for reading in readings
        ]

    def unexplained(self, readings: Iterable[DeviceReading]) -> frozenset[tuple[Pubkey, int]]:
        """Return the neighbors of all devices that no user explains."""
        return frozenset(
            chain.from_iterable(unexplained(reading, self._users_of(reading)) for reading in readings)
        )

    def decide_all(self, readings: Iterable[DeviceReading], look: Look) -> dict[Pubkey, Decision]:
        """Decide about every user of the devices that were read."""
        return {
            observation.user.pubkey: self.decide(observation, look)
            for observation in self._observations(readings)
        }

    def confirm(
        self, first: Iterable[Decision], readings: Mapping[str, DeviceReading], look: Look | None
    ) -> dict[Pubkey, Decision]:
        """Decide again about users whose devices were asked again: a write is kept if both looks agree on it."""
        assessed = {reading.host: reading for reading in self.assess(readings.values())}
        second = {one.user.pubkey: one for one in self._observations(assessed.values())}
        return {
            one.user: self._confirmed(one, second.get(one.user), assessed[one.observation.host], look)
            for one in first
        }

    def _confirmed(
        self, first: Decision, second: Observation | None, reading: DeviceReading, look: Look | None
    ) -> Decision:
        observation = confirmed_observation(first, second, reading)
        decision = self.decide(observation, look, is_early=first.is_early)
        if first.is_early and not (decision.is_write and decision.status is first.status):
            decision = self.decide(observation, look)
        if decision.is_write and decision.status is not first.status:
            why = f"the first look said {(first.status or BgpStatus.UNKNOWN).label}"
            return withheld(decision, "unconfirmed", why)
        return decision

    def decide(self, observation: Observation, look: Look | None, *, is_early: bool = False) -> Decision:
        """Decide about one user, the signers and the ledger's own state considered.

        `is_early`: whether it would be refreshed now if it were due.
        """
        rules = self.options.rules
        decision = decide(
            observation,
            self.clock,
            dataclasses.replace(rules, refresh_interval_s=0.0) if is_early else rules,
            self.memory.after(
                observation, self.clock.now, rules, time.time(), is_believed=not self.fetched.doubt
            ),
            look,
            in_flight=self.memory.in_flight_why(observation.user, self.clock.now),
        )
        if not decision.is_write:
            return decision
        if self.fetched.doubt:
            return withheld(decision, "stale-ledger", self.fetched.doubt)
        if self.options.signers is not None and decision.publisher not in self.options.signers:
            return withheld(decision, "no-signer", f"no keypair for publisher {decision.publisher}")
        if decision.reason == "first-report" and self._is_new(decision):
            why = (
                f"the user was first seen within {NEW_USER_S:.0f} s, and the session may be its predecessor's"
            )
            return withheld(decision, "new-user", why)
        if decision.turns_down and not rules.take_over and self._reported_by_another(decision):
            detail = f"{decision.detail} Held: another writer reports on this device (--take-over writes it anyway)."
            return replace(decision, action=Action.HOLD, reason="other-writer", detail=detail)
        if is_early:
            detail = f"{decision.detail} Refreshed early: a transaction has room."
            return replace(decision, is_early=True, detail=detail)
        return decision

    def _is_new(self, decision: Decision) -> bool:
        memory = decision.memory
        if memory is None or memory.first_seen_at is None or not self.is_memory_old:
            return False
        return self.clock.now - memory.first_seen_at < NEW_USER_S

    def _reported_by_another(self, decision: Decision) -> bool:
        return decision.observation.device.pubkey in self.others.since_pass

    def _observations(self, readings: Iterable[DeviceReading]) -> Iterable[Observation]:
        for reading in readings:
            yield from resolve(reading, self._users_of(reading), self.data.tenants)

    def _users_of(self, reading: DeviceReading) -> Sequence[User]:
        return self.users.get(reading.device.pubkey, ()) if reading.device else ()
