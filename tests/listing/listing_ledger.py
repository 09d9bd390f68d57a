"""The lab's world on a ledger that stands still, and the commands that read it, in the test's own process."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from solders.pubkey import Pubkey
from typer.testing import CliRunner, Result

from dzbgp.cli import app as cli
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_device, encode_user
from dzbgp.lab.world.world import World
from dzbgp.ledger.networks import network
from dzbgp.ledger.program.snapshot import Snapshot, take_snapshot

AMS, FRA, LON, NYC = (f"{metro}-dz-001" for metro in ("ams", "fra", "lon", "nyc"))
SECONDS_PER_SLOT = 0.4


@contextmanager
def standing_ledger(world: World) -> Iterator[Ledger]:
    with Ledger.start(
        world.accounts(),
        program_id=world.program_id,
        balances={},
        slot_ms=0,
        start_slot=world.now_slot,
        confirmed_after=0,
    ) as ledger:
        yield ledger


def snapshot_of(ledger: Ledger) -> Snapshot:
    return take_snapshot(network("localnet", (ledger.url,)))


def change_user(ledger: Ledger, world: World, device: str, tunnel_id: int, **changes: Any) -> Pubkey:
    """Writes a user anew with other values, in the newest layout."""
    user = replace(world.user(device, tunnel_id).user, **changes)
    ledger.set_account(user.pubkey, encode_user(user))
    return user.pubkey


def change_device(ledger: Ledger, world: World, code: str, **changes: Any) -> Pubkey:
    device = replace(world.device(code).device, **changes)
    ledger.set_account(device.pubkey, encode_device(device))
    return device.pubkey


def invoke(ledger: Ledger, *args: str, columns: int = 200, **env: str) -> Result:
    return CliRunner().invoke(
        cli.app,
        [args[0], "--env", "localnet", "--rpc-url", ledger.url, *args[1:]],
        env={"COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1", **env},
    )


def text_of(ledger: Ledger, *args: str, columns: int = 200) -> str:
    done = invoke(ledger, *args, columns=columns)
    assert done.exit_code == 0, done.output
    return done.stdout


def json_of(ledger: Ledger, *args: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text_of(ledger, *args, "--output", "json"))
    return document


def csv_of(ledger: Ledger, *args: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(ledger, *args, "--output", "csv"))))
