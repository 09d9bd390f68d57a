"""A listing for machines: schema_version 1."""

from dataclasses import asdict
from typing import Any

from dzbgp.console.json_text import json_text
from dzbgp.console.words import iso
from dzbgp.listing.model import Listing, Source

SCHEMA_VERSION = 1


def render(listing: Listing[Any]) -> str:
    """Return the listing as indented JSON in plain ASCII, without a final newline.

    Every key is always there, whatever --columns says; a key without a value is null. Keys are never removed
    within a schema_version. Ages are seconds before `slot`, by the cluster's own slot rate. `summary` counts the
    activated users of the rows; `total` is the number of rows without any filter.
    """
    document = origin(listing.source)
    document["stale_after_s"] = listing.source.stale_after_s
    document[f"{listing.noun}s"] = [
        {item.name: item.value(row) for item in listing.fields} for row in listing.rows
    ]
    if listing.devices is not None:
        document["devices"] = [
            {"device": one.device, "device_pk": one.pubkey, **asdict(one.counts)} for one in listing.devices
        ]
    document["summary"] = {"total": listing.total, "shown": len(listing.rows), **asdict(listing.counts)}
    document["notes"] = list(listing.source.notes)
    return json_text(document)


def render_rows(listing: Listing[Any]) -> str:
    """Return the rows as a JSON array, as DoubleZero's own command line prints lists, in plain ASCII.

    A user also has the names that it has there.
    """
    rows: list[dict[str, Any]] = [
        {item.name: item.value(row) for item in listing.fields} for row in listing.rows
    ]
    if listing.noun == "user":
        rows = [
            row
            | {
                "device_name": row["device"],
                "location_code": row["location"],
                "bgp_rtt_ns": row["rtt_ns"],
                "multicast": ", ".join(row["groups"]),
            }
            for row in rows
        ]
    return json_text(rows)


def origin(source: Source) -> dict[str, Any]:
    """Return the keys that every document has first."""
    return {
        "schema_version": SCHEMA_VERSION,
        "env": source.env,
        "program_id": source.program_id,
        "slot": source.slot,
        "seconds_per_slot": source.seconds_per_slot,
        "fetched_at": iso(source.fetched_at),
    }
