import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import Done, E2eLab, dzbgp, started_lab, write_keypair
from solders.keypair import Keypair

AMS = "ams-dz-001"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2eLab]:
    with started_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running
        stats = running.ledger.stats()
        assert not {"sendTransaction", "simulateTransaction"} & set(stats.requests)
        assert stats.transactions_executed == 0


def refused(done: Done, code: int, *words: str) -> None:
    """One line on stderr that holds all of `words`, and where to look at most; no traceback; nothing on stdout."""
    assert done.code == code, done.err
    assert done.out == ""
    said, *where_to_look = done.err.splitlines()
    assert where_to_look in ([], ["see `dzbgp run --help`"])
    assert said.startswith("error: ")
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["--inventory: expected a directory with hosts.yaml, or a Nornir configuration file"]),
        (["--inventory", "/no/where"], ["--inventory /no/where: there is no such file or directory"]),
        (
            ["--env", "moonnet"],
            ["--env: unknown network 'moonnet'", "mainnet-beta, testnet, devnet, localnet"],
        ),
        (
            ["--rpc-url", "ftp://ledger/secret"],
            ["--rpc-url: invalid URL 'ftp://ledger': expected http:// or https://"],
        ),
        (["--program-id", "xyz"], ["--program-id: invalid key 'xyz'"]),
        (["--refresh-interval", "6 hours"], ["--refresh-interval", "invalid duration '6 hours'", "6h"]),
        (["--refresh-interval", "-5m"], ["--refresh-interval", "invalid duration '-5m'"]),
        (["--submit-timeout", "soon"], ["--submit-timeout", "invalid duration 'soon'"]),
        (["--workers", "0"], ["--workers", "expected a whole number, 1 or more"]),
        (["--workers", "many"], ["--workers", "expected a whole number, 1 or more"]),
        (
            ["--output", "yaml"],
            ["--output yaml: unknown format 'yaml'", "table, tsv, json, markdown, html, junit"],
        ),
        (
            ["--commitment", "processed"],
            ["--commitment: unknown value 'processed': expected one of confirmed, finalized"],
        ),
        (["--filter", "metro"], ["--filter: invalid filter 'metro': expected KEY=VALUE"]),
        (
            ["--report-file", "/no/where/r.json"],
            ["--report-file /no/where/r.json: the file cannot be written"],
        ),
        (["--report-file", "/"], ["--report-file /: the file cannot be written"]),
        (["--lab", "--rpc-url", "http://localhost"], ["--rpc-url cannot be combined with --lab"]),
        (["--lab", "--keypair", "id.json"], ["--keypair cannot be combined with --lab"]),
        (["--lab", "--program-id", "x"], ["--program-id cannot be combined with --lab"]),
        (["--nonsense"], ["No such option: --nonsense"]),
        (["nonsense"], ["nonsense"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[:1] != [] else "",
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    args: list[str], words: list[str], tmp_path: Path
) -> None:
    refused(dzbgp(tmp_path, "run", *args), 2, *words)


def test_a_wrong_environment_variable_is_named(tmp_path: Path) -> None:
    refused(
        dzbgp(tmp_path, "run", DZBGP_REFRESH_INTERVAL="often"),
        2,
        "DZBGP_REFRESH_INTERVAL",
        "invalid duration 'often'",
    )


def test_an_unknown_limit_host_is_named(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--limit", f"{AMS},nowhere")
    refused(done, 2, "--limit: no host of the inventory is called 'nowhere'")


def test_a_filter_that_leaves_no_host_is_named(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--filter", "metro=moon")
    refused(done, 2, "--filter metro=moon: no host matches")


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (None, ["hosts.yaml: No such file or directory"]),
        ("", ["hosts.yaml: it holds no hosts"]),
        ("- ams\n", ["hosts.yaml: it holds a list; expected a mapping"]),
        ("a: {platform: eos\nb: x\n", ["hosts.yaml, line 2", "malformed YAML"]),
        (f"{AMS}:\n", ["hosts.yaml: ams-dz-001: it holds nothing; expected a mapping"]),
        (f"{AMS}: {{hostname: 127.0.0.1}}\n", ["'ams-dz-001' has no platform", "expected platform: eos"]),
        (f"{AMS}: {{platform: junos}}\n", ["no chosen host has platform eos"]),
        (f"{AMS}: {{platform: eos, port: '1'}}\n", ["ams-dz-001: port: it holds a text; expected a number"]),
        (f"{AMS}: {{platform: eos, port: 70000}}\n", ["port 70000; expected 1 to 65535"]),
        (f"{AMS}: {{platform: eos, groups: [lost]}}\n", ["groups: unknown group 'lost'", "groups.yaml"]),
        (f"{AMS}: {{platform: eos, groups: lost}}\n", ["groups: it holds a text; expected a list"]),
        ("other: {platform: eos}\n", ["no host of 1 is one of the program's 8 devices", "dz_device"]),
        (
            f"{AMS}: {{platform: eos}}\nother: {{platform: eos, data: {{dz_device: {AMS}}}}}\n",
            ["hosts 'ams-dz-001' and 'other' are both device ams-dz-001"],
        ),
    ],
)
def test_a_bad_inventory_is_one_line_that_names_file_and_key(
    lab: E2eLab, tmp_path: Path, hosts: str | None, words: list[str]
) -> None:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "defaults.yaml").write_text("{username: dzbgp, password: x}\n", encoding="utf-8")
    if hosts is not None:
        (inventory / "hosts.yaml").write_text(hosts, encoding="utf-8")
    args = [*lab.ledger_args, "--keypair", str(lab.keypairs), "--inventory", str(inventory)]
    refused(dzbgp(tmp_path, "run", *args), 2, *words)


def test_a_config_file_that_names_an_unknown_plugin_is_one_line(lab: E2eLab, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("inventory: {plugin: NoSuchInventory}\n", encoding="utf-8")
    done = dzbgp(tmp_path, "run", *lab.ledger_args, "--dry-run", "--inventory", str(config))
    refused(done, 2, str(config), "Nornir could not load it")


def test_a_host_that_is_no_device_is_reported_and_the_others_are_written_about(
    lab: E2eLab, tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    spec = lab.world.device(AMS)
    (inventory / "hosts.yaml").write_text(
        f"{AMS}: {{hostname: {spec.address}, port: {spec.port}}}\nprinter: {{hostname: 127.0.0.1}}\n",
        encoding="utf-8",
    )
    (inventory / "defaults.yaml").write_bytes((lab.inventory / "defaults.yaml").read_bytes())
    args = [*lab.ledger_args, "--inventory", str(inventory), "--dry-run", "--output", "json"]
    done = dzbgp(tmp_path, "run", *args)
    assert done.code == 3
    (printer,) = (device for device in done.report["devices"] if device["host"] == "printer")
    assert (printer["result"], printer["code"]) == ("unmatched", None)
    assert "dz_device, host name or hostname" in printer["error"]
    assert done.report["summary"]["to_submit"] == 10
    assert done.report["summary"]["devices_failed"] == 0


SECRET = list(bytes(Keypair.from_seed(bytes(range(32)))))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is not JSON"),
        (json.dumps(SECRET)[:-1], "it is not JSON"),
        (json.dumps({"key": SECRET}), "it holds a JSON object"),
        (json.dumps(str(Keypair.from_bytes(bytes(SECRET)))), "it holds a JSON string"),
        (json.dumps(SECRET[:32]), "it holds a JSON array of 32 items"),
        (json.dumps([*SECRET[:63], 256]), "an item is not an integer from 0 to 255"),
        (json.dumps([*SECRET[:63], (SECRET[63] + 1) % 256]), "does not belong to its secret key"),
    ],
)
def test_a_malformed_keypair_is_named_and_never_echoed(
    lab: E2eLab, tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "id.json"
    file.write_text(content, encoding="ascii")
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--keypair", str(file)]
    done = dzbgp(tmp_path, "run", *args, "--limit", AMS)
    refused(done, 2, f"--keypair {file}: ", words, "a JSON array of 64 integers")
    assert ", ".join(map(str, SECRET[:4])) not in done.err


def test_a_missing_keypair_file_is_named(lab: E2eLab, tmp_path: Path) -> None:
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--keypair", "gone.json"]
    refused(dzbgp(tmp_path, "run", *args), 2, "--keypair gone.json: No such file or directory")


def test_a_directory_without_keypairs_is_named(lab: E2eLab, tmp_path: Path) -> None:
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--keypair", str(tmp_path)]
    refused(dzbgp(tmp_path, "run", *args), 2, f"--keypair {tmp_path}: the directory holds no *.json file")


def test_no_keypair_at_all_is_an_error_that_says_what_was_expected(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.ledger_args, "--inventory", str(lab.inventory))
    refused(done, 2, "--keypair: no keypair was given", "--dry-run needs none", "dzbgp check")


def test_a_dry_run_does_without_a_keypair_and_says_so(lab: E2eLab, tmp_path: Path) -> None:
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--dry-run", "--limit", AMS]
    done = dzbgp(tmp_path, "run", *args, "--output", "table")
    assert done.code == 0, done.err
    assert "No keypair was given" in done.out
    assert "10 to submit" in done.out


def test_the_keypair_of_the_command_lines_of_doublezero_is_not_taken(lab: E2eLab, tmp_path: Path) -> None:
    place = tmp_path / ".config" / "doublezero"
    place.mkdir(parents=True)
    write_keypair(place / "id.json", Keypair())
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--limit", AMS]
    refused(dzbgp(tmp_path, "run", *args, "--output", "table"), 2, "--keypair: no keypair was given")


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_keypair_that_matches_no_device_writes_nothing_and_is_named(
    lab: E2eLab, tmp_path: Path, output: str
) -> None:
    stranger = Keypair()
    file = write_keypair(tmp_path / "id.json", stranger)
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--keypair", str(file), "--limit", AMS]
    done = dzbgp(tmp_path, "run", *args, "--output", output)
    assert done.code == 3, done.err
    told = " ".join(done.report["notes"] if output == "json" else done.out.split())
    assert f"Keypair {stranger.pubkey()} is the metrics publisher of no device" in told
    if output == "json":
        reasons = [user["reason"] for user in done.report["users"] if user["action"] == "skip"]
        assert reasons.count("no-signer") == 10


def test_a_keypair_that_others_can_read_is_warned_about(lab: E2eLab, tmp_path: Path) -> None:
    file = write_keypair(tmp_path / "id.json", lab.publishers["northlight"], mode=0o644)
    args = [*lab.ledger_args, "--inventory", str(lab.inventory), "--keypair", str(file), "--limit", AMS]
    done = dzbgp(tmp_path, "run", *args, "--dry-run")
    assert done.code == 0
    told = [line for line in done.err.splitlines() if "keypair" in line]
    assert len(told) == 1
    assert f"WARNING keypair {file} can be read by others than its owner (mode 644): chmod 600" in told[0]


def test_an_rpc_that_is_not_there_is_one_line_without_its_path(lab: E2eLab, tmp_path: Path) -> None:
    args = ["--env", "localnet", "--rpc-url", "http://127.0.0.1:9/secret", "--inventory", str(lab.inventory)]
    done = dzbgp(tmp_path, "run", *args, "--dry-run", "--quiet")
    refused(done, 1, "RPC http://127.0.0.1:9: ", "connection refused")


def test_a_wrong_program_id_is_no_empty_fleet(lab: E2eLab, tmp_path: Path) -> None:
    other = str(Keypair().pubkey())
    done = dzbgp(tmp_path, "run", *lab.args, "--program-id", other)
    refused(done, 1, f"program {other} has no device accounts", "wrong --env, --program-id or --rpc-url?")


def test_another_cluster_than_the_one_asked_for_is_not_written_to(lab: E2eLab, tmp_path: Path) -> None:
    genesis = str(Keypair().pubkey())
    done = dzbgp(tmp_path, "run", *lab.args, "--genesis-hash", genesis, "--limit", AMS)
    assert done.code == 1, done.err
    assert done.out == ""
    assert f"expected {genesis}" in done.error
    assert "nothing was written" in done.error


def test_verbose_shows_where_an_error_came_from(lab: E2eLab, tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", *lab.args, "--limit", "nowhere", "--verbose")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-2:][0].startswith("error: --limit")


def test_verbose_shows_the_traceback_of_a_device_and_nothing_else_does(lab: E2eLab, tmp_path: Path) -> None:
    args = ["run", *lab.args, "--limit", "tyo-dz-001", "--dry-run"]
    plain = dzbgp(tmp_path, *args)
    assert plain.code == 3
    assert plain.err.splitlines()[0].endswith("no answer in 1 s")
    verbose = dzbgp(tmp_path, *args, "--verbose")
    assert verbose.code == 3
    assert "TimeoutError" in verbose.err
    assert "Traceback" not in verbose.out
