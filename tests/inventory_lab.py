"""The lab's world for tests of inventories."""

from typing import Any

from standing_ledger import change_device as change_device_of

from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World

WORLD = World.build()
CODES = sorted(spec.code for spec in WORLD.devices)
KESTREL = ["sgp-dz-001", "tyo-dz-001"]


def change_device(ledger: Ledger, device_code: str, /, **changes: Any) -> None:
    change_device_of(ledger, WORLD, device_code, **changes)


def remove_device(ledger: Ledger, code: str) -> None:
    """Leave an account without a type, which is of no kind of the program."""
    ledger.set_account(WORLD.device(code).device.pubkey, b"\0")
