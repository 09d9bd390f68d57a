"""A ledger that does not change, with the lab's world on it, and the commands that read it, in the test's process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from solders.pubkey import Pubkey
from typer.testing import CliRunner, Result

from dzbgp.cli import app as cli
from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.encode import encode_device
from dzbgp.lab.world.world import World


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


def change_device(ledger: Ledger, world: World, device_code: str, /, **changes: Any) -> Pubkey:
    """Write a device again with other values, in the newest layout."""
    device = replace(world.device(device_code).device, **changes)
    ledger.set_account(device.pubkey, encode_device(device))
    return device.pubkey


def invoke(ledger: Ledger | None, *args: str, columns: int = 200, **env: str) -> Result:
    where = ["--env", "localnet", "--rpc-url", ledger.url] if ledger else []
    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        return CliRunner().invoke(
            cli.app,
            [args[0], *where, *args[1:]],
            env={"COLUMNS": str(columns), "TERM": "dumb", "NO_COLOR": "1", **env},
        )
    finally:
        # The command's own writes to a console that is closed by now.
        root.handlers[:] = handlers
