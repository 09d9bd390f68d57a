"""From readings to decisions, with everything that a pass knows: the ledger's data, the rules, the memory, the keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from solders.pubkey import Pubkey

from dzbgp.decision.confirm import SecondLook, confirmed_observation
from dzbgp.decision.policy import Clock, decide
from dzbgp.decision.resolver import judge, resolve, users_by_device
from dzbgp.decision.rules import Rules
from dzbgp.ledger.program.cache import Fetched
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import BgpStatus, ProgramData, User
from dzbgp.models.session import DeviceReading, Observation, Observed
from dzbgp.run.request import PassOptions
from dzbgp.state.memory import Recall


@dataclass(frozen=True, slots=True)
class Judging:
    """From readings to decisions, with everything that a pass knows."""

    data: ProgramData
    fetched: Fetched
    options: PassOptions
    recall: Recall
    clock: Clock
    users: Mapping[Pubkey, Sequence[User]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", users_by_device(self.data))

    def judged(self, reading: DeviceReading) -> DeviceReading:
        """Gives the reading, as suspect when it is not credible."""
        return judge(reading, self._users_of(reading), identity_check=self.options.identity_check)

    def observe(self, readings: Sequence[DeviceReading]) -> list[Observation]:
        """Says what was seen of every user of the devices that were read."""
        return [
            observation
            for reading in readings
            for observation in resolve(reading, self._users_of(reading), self.data.tenants)
        ]

    def confirmed(self, first: Sequence[Decision], look: SecondLook) -> list[Observation]:
        """Gives the observations that count after the second look."""
        readings = {host: self.judged(reading) for host, reading in look.readings.items()}
        again = {seen.user.pubkey: seen for seen in self.observe(list(readings.values()))}
        looked = SecondLook(readings, look.rtts)
        return [confirmed_observation(decision, again, looked) for decision in first]

    def decide_all(
        self, observations: Sequence[Observation], look: SecondLook | None = None
    ) -> list[Decision]:
        """Decides about every user, the signers and the ledger's own state considered; RTTs come from `look`."""
        return [self._decide(observation, look) for observation in observations]

    def decide_again(
        self, first: Sequence[Decision], observations: Sequence[Observation], look: SecondLook
    ) -> list[Decision]:
        """Decides about every user whose decision may differ from the first, now that this pass is remembered."""
        return [
            before if self._stands(before, observation) else self._decide(observation, look)
            for before, observation in zip(first, observations, strict=True)
        ]

    def _stands(self, before: Decision, observation: Observation) -> bool:
        # Grace is for what is not Established, and without transitions nothing flaps.
        if before.action is not Action.SKIP or before.observation is not observation:
            return False
        memory = self.recall.users.get(observation.user.pubkey)
        return observation.observed is Observed.ESTABLISHED and (memory is None or not memory.transitions)

    def may_ride(self, decision: Decision) -> bool:
        """Says whether a report may be written again before it is due: whether it might be if it were."""
        rules = replace(self.options.rules, refresh_interval_s=0.0)
        return self._decide(decision.observation, None, rules).action is Action.SUBMIT

    def boarded(
        self, decisions: Sequence[Decision], riding: Sequence[Decision], look: SecondLook
    ) -> list[Decision]:
        """Gives the decisions, with the refreshes that were to ride along and are as unchanged as they were."""
        return [
            replace(before, rtt_ns=look.rtt_ns(before.observation) if before.status is BgpStatus.UP else 0)
            if decision.reason == "unchanged"
            and before.action is Action.SUBMIT
            and before.reason == "refresh"
            and self.may_ride(decision)
            else decision
            for decision, before in zip(decisions, riding, strict=True)
        ]

    def _decide(
        self, observation: Observation, look: SecondLook | None, rules: Rules | None = None
    ) -> Decision:
        key = observation.user.pubkey
        decision = decide(
            observation,
            self.clock,
            rules or self.options.rules,
            self.recall.users.get(key),
            in_flight=self.recall.may_still_land(key, self.clock.slot, self.clock.now),
        )
        if decision.action is not Action.SUBMIT:
            return decision
        if self.fetched.stale:
            why = f"the ledger did not answer, its data is {self.fetched.age_s:.0f} s old"
            return _not_written(decision, "stale-ledger", why)
        publisher = observation.device.metrics_publisher_pk
        if self.options.signers is not None and publisher not in self.options.signers:
            return _not_written(decision, "no-signer", f"no keypair for publisher {publisher}")
        if look is not None and decision.status is BgpStatus.UP:
            return replace(decision, rtt_ns=look.rtt_ns(observation))
        return decision

    def _users_of(self, reading: DeviceReading) -> Sequence[User]:
        return self.users.get(reading.device.pubkey, ()) if reading.device else ()


def _not_written(decision: Decision, reason: str, why: str) -> Decision:
    return replace(
        decision, action=Action.SKIP, reason=reason, detail=f"{decision.detail} Not written: {why}."
    )
