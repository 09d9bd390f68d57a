"""A ledger that stands still, and what tests of inventories do with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from typer.testing import CliRunner, Result

from dzbgp.cli import app as cli
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_device
from dzbgp.lab.world.world import World

WORLD = World.build()
CODES = sorted(spec.code for spec in WORLD.devices)
KESTREL = ["sgp-dz-001", "tyo-dz-001"]


@contextmanager
def standing_ledger() -> Iterator[Ledger]:
    with Ledger.start(
        WORLD.accounts(),
        program_id=WORLD.program_id,
        balances={},
        slot_ms=0,
        start_slot=WORLD.now_slot,
        confirmed_after=0,
    ) as ledger:
        yield ledger


def change_device(ledger: Ledger, device_code: str, /, **changes: Any) -> None:
    device = replace(WORLD.device(device_code).device, **changes)
    ledger.set_account(device.pubkey, encode_device(device))


def remove_device(ledger: Ledger, code: str) -> None:
    """Leaves an account without a type, which is none of the program's kinds."""
    ledger.set_account(WORLD.device(code).device.pubkey, b"\0")


def invoke(ledger: Ledger | None, *args: str, **env: str) -> Result:
    where = ["--env", "localnet", "--rpc-url", ledger.url] if ledger else []
    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        return CliRunner().invoke(
            cli.app, [args[0], *where, *args[1:]], env={"COLUMNS": "200", "TERM": "dumb", **env}
        )
    finally:
        # The command's own writes to a console that is closed by now.
        root.handlers[:] = handlers
