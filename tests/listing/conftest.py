"""The ledger that every test of a listing reads."""

from collections.abc import Iterator

import pytest
from standing_ledger import standing_ledger

from dzbgp.lab.solana.ledger import Ledger
from dzbgp.lab.world.world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World.build()


@pytest.fixture
def ledger(world: World) -> Iterator[Ledger]:
    with standing_ledger(world) as running:
        yield running
