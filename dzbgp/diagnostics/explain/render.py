"""An explanation for people and for machines."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from dzbgp.console.json_text import json_text
from dzbgp.console.layout import GAP, INDENT, LOUD, TITLE, Line, Lines, Terminal, padded
from dzbgp.console.words import iso
from dzbgp.diagnostics.explain.facts import sections
from dzbgp.diagnostics.explain.model import DeviceNow, Explanation, UserHistory
from dzbgp.listing.history import when
from dzbgp.listing.json import origin
from dzbgp.listing.model import source_of
from dzbgp.listing.table import heading

_LOUD_SECTIONS = frozenset({"Odd", "What to do"})


def render_text(found: Explanation, console: Console) -> None:
    """Print the explanation on `console`; no line is wider than the console."""
    console.print(Lines(list(_lines(found, Terminal.of(console)))), soft_wrap=True)


def _lines(found: Explanation, terminal: Terminal) -> Iterator[Line]:
    yield from heading("dzbgp explain", source_of(found.snapshot, 0), terminal)
    yield from terminal.paragraph(f"User {found.user.pubkey}", style=TITLE)
    for title, facts in sections(found):
        yield []
        yield from terminal.paragraph(title, style=LOUD if title in _LOUD_SECTIONS else TITLE)
        width = max(len(name) for name, _ in facts)
        before = ""
        for name, text in facts:
            shown = "" if name == before else name
            yield from terminal.paragraph(text, INDENT + padded(shown, width) + GAP)
            before = name


def render_json(found: Explanation) -> str:
    """Return the explanation as indented JSON in plain ASCII, without a final newline; schema_version 1."""
    user, data, device = found.user, found.snapshot.data, found.device
    document = origin(source_of(found.snapshot, 0)) | {
        "user": str(user.pubkey),
        "status": user.status.label,
        "user_type": user.user_type.label,
        "tenant": found.tenant or None,
        "client_ip": user.client_ip,
        "dz_ip": user.dz_ip,
        "tunnel_id": user.tunnel_id,
        "tunnel_net": str(user.tunnel_net),
        "vrf": found.vrf,
        "onchain": user.bgp_status.label,
        "rtt_ns": user.bgp_rtt_ns,
        "last_reported_slot": user.last_bgp_reported_at or None,
        "last_up_slot": user.last_bgp_up_at or None,
        "device": device.code if device else None,
        "device_pk": str(user.device_pk),
        "device_status": device.status.label if device else None,
        "publisher": str(device.metrics_publisher_pk) if device else None,
        "answer": _answer(found.answer) if found.answer else None,
        "past": _past(found.past) if found.past else None,
        "findings": [{"kind": one.kind.value, "detail": one.detail} for one in found.findings],
        "what_to_do": list(found.remedies),
        "notes": list(data.notes),
    }
    return json_text(document)


def _answer(answer: DeviceNow) -> dict[str, Any]:
    decision, reading, details = answer.decision, answer.reading, answer.details
    neighbor = None
    if details is not None:
        neighbor = {name: getattr(details, name) for name in details.__dataclass_fields__}
    return {
        "host": answer.host,
        "result": reading.result.value if reading else None,
        "error": reading.error if reading else None,
        "neighbor": neighbor,
        "observed": decision.observation.observed.value if decision else None,
        "action": decision.action.value if decision else None,
        "new_status": decision.status.label if decision and decision.status else None,
        "reason": decision.reason if decision else None,
        "detail": decision.detail if decision else None,
        "rtt_ns": decision.rtt_ns if decision else None,
        "notes": list(answer.notes),
    }


def _past(past: UserHistory) -> dict[str, Any]:
    memory = past.memory if past.memory and past.memory.is_observed else None
    since = memory.down_since if memory else None
    return {
        "state": past.path,
        "is_up": memory.up if memory else None,
        "seen_at": iso(when(memory.seen_at)) if memory else None,
        "down_since": None if since is None else iso(when(since)),
        "transitions": [
            {"at": iso(when(one.at)), "state": "up" if one.is_up else "down"} for one in past.transitions
        ],
        "writes": [
            {
                "sent_at": iso(when(one.sent_at)),
                "status": one.status.label,
                "result": one.fate.value,
                "signature": one.signature,
            }
            for one in past.writes
        ],
    }
