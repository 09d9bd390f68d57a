"""Helpers of the tests of listings, on a ledger that does not change."""

import csv
import io
import json
from typing import Any

from msgspec.structs import replace
from solders.pubkey import Pubkey
from standing_ledger import invoke

from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_user
from dzbgp.lab.world.world import World

AMS, FRA, LON, NYC = (f"{metro}-dz-001" for metro in ("ams", "fra", "lon", "nyc"))
SECONDS_PER_SLOT = 0.4


def change_user(ledger: Ledger, world: World, device: str, tunnel_id: int, **changes: Any) -> Pubkey:
    """Write a user again with other values, in the newest layout."""
    user = replace(world.user(device, tunnel_id).user, **changes)
    ledger.set_account(user.pubkey, encode_user(user))
    return user.pubkey


def text_of(ledger: Ledger, *args: str, columns: int = 200) -> str:
    done = invoke(ledger, *args, columns=columns)
    assert done.exit_code == 0, done.output
    return done.stdout


def table_of(ledger: Ledger, *args: str, columns: int = 200) -> str:
    """The table with all columns, as a terminal shows it."""
    return text_of(ledger, *args, "--output", "table", "--wide", columns=columns)


def json_of(ledger: Ledger, *args: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text_of(ledger, *args, "--output", "json"))
    return document


def csv_of(ledger: Ledger, *args: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(ledger, *args, "--output", "csv"))))
