"""What an explanation says of a user's past."""

import json
from datetime import UTC, datetime

import pytest
from core_builders import make_device, make_user
from msgspec.structs import replace

from dzbgp.console.words import amount
from dzbgp.decision.memory import remember
from dzbgp.diagnostics.explain.facts import Fact, sections
from dzbgp.diagnostics.explain.model import Explanation, UserHistory
from dzbgp.diagnostics.explain.render import render_json
from dzbgp.ledger.program.snapshot import Names, Snapshot
from dzbgp.models.ledger import BgpStatus, ProgramData
from dzbgp.models.memory import UserMemory
from dzbgp.models.session import Observation, Observed

USER, DEVICE = make_user(), make_device()
DATA = ProgramData(1, datetime.now(UTC), {USER.pubkey: USER}, {DEVICE.pubkey: DEVICE}, {})


def explanation(memory: UserMemory | None) -> Explanation:
    past = UserHistory("/var/lib/dzbgp/state", memory)
    return Explanation(Snapshot("localnet", "program", DATA, Names()), USER, DEVICE, "", "vrf1", (), past)


def remembered(observed: Observed) -> UserMemory:
    return remember(None, Observation(USER, DEVICE, "ams-1", observed), 1000.0, 3600.0)


def past(memory: UserMemory | None) -> list[Fact]:
    return dict(sections(explanation(memory)))["Past"]


def test_a_user_whose_session_no_pass_could_see_was_never_seen_down() -> None:
    unknown = remembered(Observed.UNKNOWN)
    assert dict(past(unknown))["seen"] == dict(past(None))["seen"]
    assert dict(past(unknown))["seen"].startswith("never: ")
    document = json.loads(render_json(explanation(unknown)))["past"]
    assert (document["is_up"], document["seen_at"], document["down_since"]) == (None, None, None)


def test_a_user_that_was_seen_down_was() -> None:
    down = remembered(Observed.ABSENT)
    assert dict(past(down))["seen"].startswith("down, ")
    assert json.loads(render_json(explanation(down)))["past"]["is_up"] is False


@pytest.mark.parametrize(("passes", "words"), [(1, "counted in 1 pass"), (2, "counted in 2 passes")])
def test_the_passes_that_held_a_down_are_counted_in_words(passes: int, words: str) -> None:
    held = replace(remembered(Observed.ABSENT), held_since=1000.0, held_at=1000.0, held_passes=passes)
    assert dict(past(held))["held since"].endswith(words)


def test_a_number_has_its_noun_in_the_right_form() -> None:
    assert [amount(number, "pass") for number in (0, 1, 2)] == ["0 passes", "1 pass", "2 passes"]
    assert [amount(number, "user") for number in (1, 2000)] == ["1 user", "2,000 users"]


def test_a_down_that_was_held_and_is_written_is_not_held_any_more() -> None:
    held = replace(remembered(Observed.ABSENT), held_since=1000.0, held_at=1300.0, held_passes=3)
    assert "held since" in dict(past(held))
    written = replace(held, written_at=1300.0, written_slot=5, written_status=BgpStatus.DOWN)
    assert "held since" not in dict(past(written))
