"""Inventory, keypairs and state file: what is wrong with them is told, and nothing is made."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from check_lab import Checked, check, pointed
from e2e_lab import E2eLab
from nobody import as_nobody, open_directory
from solders.pubkey import Pubkey

from dzbgp.diagnostics.check.results import CheckResults, Verdict
from dzbgp.diagnostics.check.state import check_state
from dzbgp.errors import UsageError
from dzbgp.lab.world.world import PROGRAM_ID
from dzbgp.state.lock import DeviceLocks
from dzbgp.state.store import Store

Check = Callable[..., Checked]


def worst(found: CheckResults) -> list[tuple[str, str]]:
    return [(item.check, item.verdict.value) for item in found if item.verdict is not Verdict.OK]


def tree(directory: Path) -> dict[str, tuple[float, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# The inventory


def test_without_an_inventory_the_ledger_is_still_checked(lab: E2eLab, tmp_path: Path) -> None:
    done = check(
        *("--env", "localnet", "--rpc-url", lab.ledger.url, "--keypair", str(lab.keypairs)),
        *("--state", str(tmp_path / "s.sqlite")),
    )
    item = done.only_failure()
    assert (item["section"], item["check"], done.code) == ("inventory", "parses", 2)
    assert done.found(check="program")[0]["verdict"] == "ok"


def test_an_inventory_that_does_not_parse_names_file_and_key(checked: Check, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("r1: {port: yes please, hunter2: x}\n", encoding="utf-8")
    item = (done := checked("--inventory", str(tmp_path))).only_failure()
    assert (item["check"], done.code) == ("parses", 2)
    assert "hosts.yaml: r1: port: it holds a text; expected a number" in item["detail"]


def test_an_inventory_of_which_no_host_is_a_device_says_how_hosts_are_matched(
    checked: Check, tmp_path: Path
) -> None:
    (tmp_path / "hosts.yaml").write_text(
        "r1: {platform: eos, hostname: 192.0.2.1, username: u, password: p}\n", encoding="utf-8"
    )
    item = (done := checked("--inventory", str(tmp_path))).only_failure()
    assert (item["check"], done.code) == ("devices", 2)
    assert "dz_device" in item["hint"]


def test_a_limit_that_names_nobody_is_told(checked: Check) -> None:
    item = (done := checked("--limit", "nobody")).only_failure()
    assert "'nobody'" in item["detail"]
    assert done.code == 2


def test_a_network_that_does_not_exist_is_a_usage_error(checked: Check) -> None:
    done = checked("--env", "moonnet")
    assert done.code == 2
    assert "unknown network 'moonnet'" in done.result.output


# The keypairs


def test_a_key_that_was_not_given_is_not_taken_but_said_to_be_there(lab: E2eLab, tmp_path: Path) -> None:
    here = tmp_path / ".config/doublezero"
    here.mkdir(parents=True)
    (here / "id.json").write_bytes((lab.keypairs / "kestrel.json").read_bytes())
    args = pointed(lab, tmp_path / "s.sqlite")
    at = args.index("--keypair")
    done = check(*args[:at], *args[at + 2 :], HOME=str(tmp_path))
    item = done.only_failure()
    assert (item["section"], item["check"], done.code) == ("keys", "loaded", 2)
    assert item["detail"] == "no keypair was given"
    (item,) = done.found(check="found")
    assert item["hint"] == "give it: --keypair ~/.config/doublezero/id.json"


def test_an_empty_keypair_or_inventory_is_not_the_working_directory(lab: E2eLab, checked: Check) -> None:
    for name in ("--keypair", "--inventory"):
        error = checked(name, "").result.exception
        assert isinstance(error, UsageError)
        assert str(error) == f"{name}: it is empty; expected a path"


def test_a_keypair_that_is_malformed_fails_without_a_word_of_its_content(
    checked: Check, tmp_path: Path
) -> None:
    file = tmp_path / "id.json"
    file.write_text("[1, 2, 3, 254]", encoding="ascii")
    item = (done := checked("--keypair", str(file))).only_failure()
    assert (item["check"], done.code) == ("loaded", 2)
    assert "an array of 4 items" in item["detail"].replace("a JSON array", "an array")
    assert "254" not in done.result.output


def test_a_keypair_that_others_can_read_is_a_warning_of_the_report(lab: E2eLab, checked: Check) -> None:
    file = lab.keypairs / "kestrel.json"
    file.chmod(0o644)
    try:
        done = checked()
    finally:
        file.chmod(0o600)
    (item,) = done.found(check="file")
    assert (item["verdict"], done.code, done.result.stderr) == ("warning", 0, "")
    assert "chmod 600" in item["detail"]


# The state file


def test_a_state_file_is_not_made(checked: Check, tmp_path: Path) -> None:
    done = checked()
    assert [item["verdict"] for item in done.found(section="state")] == ["ok", "ok"]
    assert list(tmp_path.iterdir()) == []


def test_a_state_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    Store.open(path, PROGRAM_ID).close()
    before = tree(tmp_path)
    found = list(check_state(path, PROGRAM_ID))
    assert [(item.check, item.verdict.value) for item in found] == [
        ("writable", "ok"),
        ("content", "ok"),
        ("lock", "ok"),
    ]
    assert tree(tmp_path) == before


def test_a_state_file_of_another_program_fails(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    Store.open(path, Pubkey.new_unique()).close()
    assert worst(check_state(path, PROGRAM_ID)) == [("content", "fail")]


def test_another_applications_database_fails(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    assert worst(check_state(path, PROGRAM_ID)) == [("content", "fail")]


def test_a_corrupt_state_file_is_a_warning_and_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    before = tree(tmp_path)
    assert worst(check_state(path, PROGRAM_ID)) == [("content", "warning")]
    assert tree(tmp_path) == before


def test_a_state_file_that_a_run_has_open_is_not_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store.open(path, PROGRAM_ID) as store:
        store.hold({PROGRAM_ID: "ams-1"})
        before = sorted(tmp_path.iterdir())
        found = {item.check: item for item in check_state(path, PROGRAM_ID)}
        assert sorted(tmp_path.iterdir()) == before
    assert found["lock"].verdict is Verdict.WARNING
    assert found["content"].detail.startswith("not tested")


def test_looking_at_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    lock = tmp_path / "s.sqlite.lock"
    lock.touch()
    check_state(path, PROGRAM_ID)
    assert DeviceLocks(path, wait_s=0).hold([bytes(PROGRAM_ID)]) is None


def test_a_directory_in_the_place_of_the_state_file_fails(tmp_path: Path) -> None:
    assert worst(check_state(tmp_path, PROGRAM_ID)) == [("writable", "fail")]


def test_a_state_file_below_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert worst(check_state(tmp_path / "file" / "s.sqlite", PROGRAM_ID))[0] == ("writable", "fail")


def test_a_directory_that_can_not_be_written_fails() -> None:
    with open_directory(0o555) as place:
        said = as_nobody(lambda: str(worst(check_state(place / "s.sqlite", PROGRAM_ID))))
    assert said == str([("writable", "fail")])
