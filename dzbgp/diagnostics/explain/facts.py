"""An explanation as sections of named facts: one model for the table and for people who read JSON."""

import time
from collections.abc import Iterator

from dzbgp.console.words import amount, duration, moment, rtt_text
from dzbgp.decision.policy import Clock
from dzbgp.diagnostics.explain.model import DeviceNow, Explanation, UserHistory
from dzbgp.eos.details import NeighborDetails
from dzbgp.listing.history import when
from dzbgp.models.decision import Action
from dzbgp.models.ledger import UserStatus
from dzbgp.models.session import DeviceResult
from dzbgp.state.records import is_held

Fact = tuple[str, str]
Section = tuple[str, list[Fact]]


def sections(found: Explanation) -> Iterator[Section]:
    """Yield each section with its facts, in the order of reading."""
    yield "Ledger", list(_ledger(found))
    yield "Device", list(_device(found))
    if found.answer is not None:
        yield "What a run would do now", list(_run(found.answer, found))
    yield "Past", list(_past(found.past))
    if found.findings:
        yield "Odd", [(one.kind.value, one.detail) for one in found.findings]
    if found.remedies:
        yield "What to do", [(str(number), text) for number, text in enumerate(found.remedies, 1)]


def _ledger(found: Explanation) -> Iterator[Fact]:
    user, data = found.user, found.snapshot.data
    clock = Clock(data.slot, data.seconds_per_slot)

    def ago(slot: int) -> str:
        return f"{duration(clock.age_s(slot))} ago (slot {slot})" if slot else "never"

    yield "BGP status", f"{user.bgp_status.label}, last reported {ago(user.last_bgp_reported_at)}"
    yield "last up", f"reported Up {ago(user.last_bgp_up_at)}"
    if user.bgp_rtt_ns:
        yield "RTT", rtt_text(user.bgp_rtt_ns)
    yield "user", f"{user.status.label}, {user.user_type.label}, {found.tenant or 'no tenant'}"
    yield "addresses", f"client {user.client_ip}, DZ {user.dz_ip}"
    vrf = found.vrf or "not known: its tenant is not on the ledger"
    yield "tunnel", f"{user.tunnel_net}, id {user.tunnel_id}, VRF {vrf}"


def _device(found: Explanation) -> Iterator[Fact]:
    device, answer = found.device, found.answer
    if device is None:
        yield "device", f"{found.user.device_pk} is not on the ledger"
        return
    yield "device", f"{device.code or device.pubkey}, {device.status.label}, public IP {device.public_ip}"
    yield "publisher", str(device.metrics_publisher_pk)
    if answer is None:
        yield "answer", found.asked
        return
    yield "host", answer.host
    reading = answer.reading
    if reading is None or reading.result is not DeviceResult.OK:
        word = reading.result.value if reading else "not asked"
        yield "answer", f"{word}: {(reading.error if reading else None) or 'the cause is unknown'}"
    decision = answer.decision
    if decision is not None:
        seen = decision.observation
        yield "session", f"{seen.observed.value.replace('_', ' ')}{f': {seen.why}' if seen.why else ''}"
        if decision.rtt_ns:
            yield "RTT", rtt_text(decision.rtt_ns)
    if answer.details is not None:
        yield from _neighbor(answer.details)
    elif answer.details_error:
        yield "neighbor", f"its details could not be read: {answer.details_error}"
    else:
        yield "neighbor", "none"


def _neighbor(one: NeighborDetails) -> Iterator[Fact]:
    state = one.state or "without a state"
    if one.idle_reason:
        state += f" ({one.idle_reason})"
    if one.established_s is not None:
        state += f", up for {duration(one.established_s)}"
    yield "neighbor", f"{one.address} in {one.vrf}{f' on {one.interface}' if one.interface else ''}: {state}"
    if one.last_event:
        yield "last event", f"{one.last_event}{f', state before: {one.last_state}' if one.last_state else ''}"
    if one.hold_time_s is not None:
        yield "hold time", f"{one.hold_time_s} s"
    if one.established_transitions is not None:
        yield "came up", f"{amount(one.established_transitions, 'time')} since BGP started on the device"


def _run(answer: DeviceNow, found: Explanation) -> Iterator[Fact]:
    decision = answer.decision
    if decision is None:
        status = found.user.status
        why = "" if status is UserStatus.ACTIVATED else f": the user is {status.label}"
        yield "decision", f"nothing{why}"
        return
    status_word = decision.status.label if decision.status else "nothing"
    verb = {Action.SUBMIT: "write", Action.SKIP: "write nothing", Action.HOLD: "hold"}[decision.action]
    yield "decision", verb if decision.action is Action.SKIP else f"{verb} {status_word}"
    yield "rule", f"{decision.reason} (docs/decisions.md)"
    yield "because", decision.detail
    for note in answer.notes:
        yield "note", note


def _past(past: UserHistory | None) -> Iterator[Fact]:
    if past is None:
        yield "state file", "there is none"
        return
    yield "state file", past.path
    now, memory = time.time(), past.memory
    if memory is None or not memory.is_observed:
        yield "seen", "never: no pass has learned whether its session is up"
    else:
        word = "up" if memory.up else "down"
        yield "seen", f"{word}, {duration(max(now - memory.seen_at, 0))} ago"
        if memory.down_since is not None:
            yield "down since", moment(when(memory.down_since))
        if memory.held_since is not None and is_held(memory):
            yield (
                "held since",
                f"{moment(when(memory.held_since))}, counted in {amount(memory.held_passes, 'pass')}",
            )
    for change in past.transitions:
        yield "transition", f"{moment(when(change.at))}: {'up' if change.is_up else 'down'}"
    for write in past.writes:
        yield (
            "write",
            f"{moment(when(write.sent_at))}: {write.status.label}, {write.fate.value}, {write.signature}",
        )
