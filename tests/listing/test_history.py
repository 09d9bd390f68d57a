"""`dzbgp history` about one user of a state file."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from core_builders import key
from small_world import PROGRAM

from dzbgp.errors import UsageError
from dzbgp.listing.history import list_history
from dzbgp.listing.model import NOTHING
from dzbgp.listing.query import HistoryQuery, Record
from dzbgp.models.in_flight import Fate, InFlight
from dzbgp.models.ledger import BgpStatus
from dzbgp.models.memory import UserMemory
from dzbgp.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A file that knows user 1, whose session never changed."""
    with Store.open(tmp_path / "state", PROGRAM) as made:
        made.keep_users({key(1): UserMemory(key(9), 1.5, True)})
        yield made


@pytest.mark.parametrize("record", [Record.TRANSITIONS, Record.WRITES])
def test_a_user_that_no_pass_has_seen_is_an_error_and_no_empty_list(store: Store, record: Record) -> None:
    with pytest.raises(
        UsageError, match=r"^--user: no pass of this state file has seen a user 'nope': expected"
    ):
        list_history(store, HistoryQuery(user="nope"), record)


@pytest.mark.parametrize("record", [Record.TRANSITIONS, Record.WRITES])
def test_a_user_that_passes_know_and_to_which_nothing_happened_has_an_empty_list(
    store: Store, record: Record
) -> None:
    assert list_history(store, HistoryQuery(user=str(key(1))[:6]), record).rows == ()


def test_a_write_during_which_the_clock_was_set_back_took_an_unknown_time(tmp_path: Path) -> None:
    now = time.time()
    times = iter([now, now - 3600])
    with Store.open(tmp_path / "state", PROGRAM) as store:
        store._clock = lambda: next(times)
        store.sent(InFlight("signature", 10, {key(1): BgpStatus.UP}))
        store.ended("signature", Fate.FINALIZED)
        history = list_history(store, HistoryQuery(since_s=86_400.0), Record.WRITES)
    (took,) = [one for one in history.fields if one.name == "took_s"]
    assert (took.value(history.rows[0]), took.shown(history.rows[0])[0]) == (None, NOTHING)
