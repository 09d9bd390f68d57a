"""What people ask of the state file: history, status, release."""

import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import E2eLab, dzbgp, started_lab

from dzbgp.console.words import abbreviated
from dzbgp.ledger.networks import NETWORKS, network
from dzbgp.state.store import Store

HOST = "ams-dz-001"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path, slot_ms=10) as running:
        running.heal()
        yield running


def set_all(lab: E2eLab, state: str) -> None:
    """Put every session of the host's users into this state."""
    for peer in lab.fleet.device(HOST).peers:
        if peer.description.startswith("USER-"):
            lab.fleet.set_state(HOST, peer.address, state)


@pytest.fixture
def held(lab: E2eLab, tmp_path: Path) -> E2eLab:
    """A device whose users were Up, and whose Downs the guard holds since the last pass."""
    assert dzbgp(tmp_path, "run", *lab.args).code == 0
    set_all(lab, "Idle")
    done = dzbgp(tmp_path, "run", *lab.args)
    assert done.code == 4, done.err
    return lab


def test_history_lists_passes_transitions_and_writes(held: E2eLab, tmp_path: Path) -> None:
    passes = json.loads(dzbgp(tmp_path, "history", "--env", "localnet", "--output", "json").out)["passes"]
    assert [one["result"] for one in passes] == ["ok", "held"]
    assert passes[0]["submitted"] > 0
    assert passes[1]["held"] > 0
    text = dzbgp(tmp_path, "history", "transitions", "--device", HOST, "--env", "localnet", "-o", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows
    assert {(row["device"], row["state"]) for row in rows} == {(HOST, "down")}
    one = rows[0]["user"]
    for text in (one[:8], abbreviated(one)):
        found = dzbgp(tmp_path, "history", "--user", text, "--env", "localnet", "-o", "json")
        assert [row["user"] for row in json.loads(found.out)["transitions"]] == [one]
    table = dzbgp(tmp_path, "history", "writes", "--env", "localnet", "-o", "table", COLUMNS="80")
    assert table.code == 0
    assert "confirmed" in table.out or "finalized" in table.out
    assert max(map(len, table.out.splitlines())) <= 80


def test_status_is_the_last_pass_in_five_lines_with_its_exit_code(held: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "status", "--env", "localnet")
    assert (done.code, done.err) == (4, "")
    assert len(done.out.splitlines()) == 5
    assert "held (exit code 4)" in done.out
    assert "held by the guard (`dzbgp release`)" in done.out
    assert json.loads(dzbgp(tmp_path, "status", "--env", "localnet", "--json").out)["exit_code"] == 4


def test_release_lets_what_is_held_now_through_at_the_next_pass(held: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "release", HOST, "--env", "localnet")
    assert done.code == 0, done.err
    assert done.out.startswith("Released ")
    # The pass that held them is still the last one.
    status = dzbgp(tmp_path, "status", "--env", "localnet")
    assert status.code == 4
    assert "held by the guard, all released: written at the next pass" in status.out
    shown = json.loads(dzbgp(tmp_path, "status", "--env", "localnet", "--json").out)
    assert shown["released"] == shown["held"] > 0
    ended = dzbgp(tmp_path, "run", *held.args, "--output", "json")
    assert ended.code == 0, ended.err
    down = [user for user in ended.report["users"] if user["device"] == HOST and user["action"] == "submit"]
    assert {user["result"] for user in down} <= {"confirmed", "finalized"}
    assert f"Released {len(down)} users on {HOST}" in done.out
    assert down
    assert dzbgp(tmp_path, "release", "--env", "localnet").out == "Nothing is held.\n"
    # What is held later was not released.
    set_all(held, "Established")
    assert dzbgp(tmp_path, "run", *held.args).code == 0
    set_all(held, "Idle")
    assert dzbgp(tmp_path, "run", *held.args).code == 4


def test_without_a_state_file_the_commands_say_where_it_would_be(tmp_path: Path) -> None:
    for command in ("history", "status", "release"):
        done = dzbgp(tmp_path, command)
        assert done.code == 2
        assert "there is no state file; expected one that a pass" in done.error
    assert list(tmp_path.iterdir()) == []


def test_a_state_file_of_another_network_is_named_if_there_is_one(tmp_path: Path) -> None:
    told = []
    for name in ("localnet", "testnet"):
        place = tmp_path / "dzbgp" / f"{NETWORKS[name].program_id}.sqlite"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"SQLite")
        told.append(dzbgp(tmp_path, "status", XDG_STATE_HOME=str(tmp_path)).error)
    assert told[0].endswith("has made. There is one of localnet: --env localnet")
    assert told[1].endswith("has made")


@pytest.mark.parametrize("command", ["history", "status", "release"])
@pytest.mark.parametrize("fault", ["half", "newer", "empty"])
def test_a_state_file_that_cannot_be_used_is_one_line_and_stays_as_it_is(
    tmp_path: Path, command: str, fault: str
) -> None:
    file = tmp_path / "state.sqlite"
    program = network("localnet").program_id
    Store.open(file, program).close()
    if fault == "half":
        file.write_bytes(file.read_bytes()[:3000])
    elif fault == "empty":
        file.write_bytes(b"")
    else:
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 999")
    before = file.read_bytes()
    done = dzbgp(tmp_path, command, "--env", "localnet", "--state", str(file))
    if fault == "newer" and command != "release":
        # What an older dzbgp knows of it can still be read; there is no pass in it.
        assert "could not be opened" not in done.err
    else:
        assert done.code == 2
        assert len(done.err.strip().splitlines()) == 1
        assert done.error.startswith(f"error: --state {file}: ")
        assert "expected" in done.error
    assert file.read_bytes() == before
    assert not list(tmp_path.glob("*.corrupt-*"))


@pytest.mark.parametrize(
    "words", [("release", ""), ("explain", ""), ("inventory", "trust", ""), ("lab", ""), ("lab", "flap", "")]
)
def test_an_argument_of_a_variable_that_is_not_set_is_never_all_of_them(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = dzbgp(tmp_path, *words)
    assert (done.code, done.out) == (2, "")
    assert "it is empty; expected a value" in done.error
