"""`dzbgp history` about one user of a state file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from core_builders import key
from small_world import PROGRAM

from dzbgp.errors import UsageError
from dzbgp.listing.history import list_history
from dzbgp.listing.query import HistoryQuery, Record
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
