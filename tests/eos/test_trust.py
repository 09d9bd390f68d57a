"""A device shows what is expected of it before it is told the password: over real TLS and SSH, through NAPALM."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_builders import key, make_device
from ssh_eos import SshEos, ssh_servers
from test_fleet import PASSWORD, USERNAME, block, eos, put
from typer.testing import CliRunner

from dzbgp.cli.app import app
from dzbgp.eos.credentials import Login
from dzbgp.eos.trust import KNOWN, SSH, TLS, KnownKeys, fingerprint, show, shown
from dzbgp.errors import InventoryError, TrustError, UsageError
from dzbgp.fleet.dask.runner import DaskRunner
from dzbgp.fleet.fleet import Fleet
from dzbgp.fleet.load import load_inventory
from dzbgp.fleet.options import FleetRequest, Runner
from dzbgp.lab.eos.fleet import EosFleet
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.run.request import SetupRequest
from dzbgp.run.setup import known_keys, known_keys_of_file
from dzbgp.run.trust import trust
from dzbgp.state.known_keys import keep_known_key
from dzbgp.state.store import Store

AMS = make_device(1, code="ams-1", public_ip="203.0.113.1")
PROGRAM = key(9)
OTHER = ":".join(["AB"] * 32)


@pytest.fixture(scope="module")
def device() -> Iterator[EosFleet]:
    with EosFleet.start([eos("ams-1", f"{block()}.1", 1)]) as made:
        yield made


@pytest.fixture(scope="module")
def ssh(device: EosFleet) -> Iterator[SshEos]:
    with ssh_servers(device, ["ams-1"]) as servers:
        yield servers["ams-1"]


def certificate(device: EosFleet) -> str:
    return show(*device.addresses["ams-1"], TLS, 5)


def inventory(
    device: EosFleet, directory: Path, data: dict[str, Any] | None = None, port: int = 0, **optional: Any
) -> Path:
    address, usual = device.addresses["ams-1"]
    extras = {"timeout": 5, "optional_args": optional}
    host = {"hostname": address, "port": port or usual, "data": data or {}}
    return put(directory, {"ams-1": host | {"connection_options": {"napalm": {"extras": extras}}}})


def over_ssh(device: EosFleet, ssh: SshEos, directory: Path) -> Path:
    return inventory(device, directory, port=ssh.port, transport="ssh", force_no_enable=True)


def read(path: Path, known: KnownKeys | None = None, *, insecure: bool = False) -> DeviceReading:
    with Fleet(load_inventory(path, FleetRequest(tls_insecure=insecure))) as fleet:
        if known is not None:
            fleet.trust(known)
        (reading,) = fleet.read({"ams-1": AMS})
    return reading


def test_the_certificate_seen_first_is_kept_in_the_state_file(device: EosFleet, tmp_path: Path) -> None:
    path = inventory(device, tmp_path)
    with Store.open(tmp_path / "s.sqlite", PROGRAM) as store:
        assert read(path, known_keys(store)).result is DeviceResult.OK
    known = known_keys_of_file(tmp_path / "s.sqlite", PROGRAM)
    assert known.of("ams-1", TLS) == certificate(device)
    assert read(path, known).result is DeviceResult.OK


def test_a_changed_certificate_fails_the_device_before_it_is_told_the_password(
    device: EosFleet, tmp_path: Path
) -> None:
    path, before = inventory(device, tmp_path), device.requests("ams-1")
    known = KnownKeys(lambda: {("ams-1", TLS): OTHER})
    reading = read(path, known)
    assert reading.result is DeviceResult.FAILED
    assert reading.error is not None
    for words in (OTHER, certificate(device), "dzbgp inventory trust ams-1"):
        assert words in reading.error
    assert device.requests("ams-1") == before
    assert read(path, known, insecure=True).result is DeviceResult.OK


def test_trust_writes_the_new_certificate_which_a_running_watch_takes_up(
    device: EosFleet, tmp_path: Path
) -> None:
    path, state = inventory(device, tmp_path), tmp_path / "s.sqlite"
    request = SetupRequest(env="localnet", program_id=str(PROGRAM), inventory=path, state=state)
    with Store.open(state, PROGRAM) as store:
        known = known_keys(store)
        known.add("ams-1", TLS, OTHER)
        assert read(path, known).result is DeviceResult.FAILED
        found = trust(request, "ams-1")
        assert (found.before, found.now) == (OTHER, certificate(device))
        assert read(path, known).result is DeviceResult.OK


def test_trust_names_what_stands_in_its_way(device: EosFleet, tmp_path: Path) -> None:
    state = tmp_path / "s.sqlite"
    request = SetupRequest(env="localnet", program_id=str(PROGRAM), state=state)
    good = SetupRequest(**{**vars(request), "inventory": inventory(device, tmp_path)})
    with pytest.raises(UsageError, match="not one host"):
        trust(good, "ams-*")
    with pytest.raises(UsageError, match="expected a file"):
        trust(SetupRequest(**{**vars(good), "state": Path("none")}), "ams-1")
    plain = SetupRequest(**{**vars(request), "inventory": inventory(device, tmp_path, transport="http")})
    with pytest.raises(UsageError, match="does not prove"):
        trust(plain, "ams-1")
    gone = SetupRequest(**{**vars(request), "inventory": inventory(device, tmp_path, port=1)})
    with pytest.raises(TrustError, match="shows no certificate"):
        trust(gone, "ams-1")


@pytest.mark.parametrize("as_list", [False, True])
def test_a_pinned_certificate_needs_no_state_file(device: EosFleet, tmp_path: Path, as_list: bool) -> None:
    text = f"sha256 Fingerprint={certificate(device)}"
    pin = [OTHER, text] if as_list else text
    path = inventory(device, tmp_path, {"dz_tls_fingerprint": pin})
    assert read(path).result is DeviceResult.OK
    with Fleet(load_inventory(path)) as fleet:
        assert fleet.notes() == []


def test_another_certificate_than_the_pinned_one_fails_the_device(device: EosFleet, tmp_path: Path) -> None:
    before = device.requests("ams-1")
    reading = read(inventory(device, tmp_path, {"dz_tls_fingerprint": OTHER}))
    assert "its certificate is not the pinned one" in str(reading.error)
    assert device.requests("ams-1") == before


@pytest.mark.parametrize(
    ("data", "optional", "why"),
    [
        ({"dz_tls_fingerprint": "AB:CD"}, {}, "dz_tls_fingerprint 'AB:CD'; expected"),
        ({"dz_tls_fingerprint": []}, {}, "expected a certificate's"),
        ({"dz_tls_fingerprint": 7}, {}, "expected a certificate's"),
        ({"dz_tls_fingerprint": OTHER}, {"transport": "ssh"}, "shows no certificate; expected https"),
    ],
)
def test_a_pin_that_cannot_be_is_an_error_of_the_inventory(
    device: EosFleet, tmp_path: Path, data: dict[str, Any], optional: dict[str, Any], why: str
) -> None:
    with pytest.raises(InventoryError, match=why):
        load_inventory(inventory(device, tmp_path, data, **optional))


def test_insecure_contradicts_verification() -> None:
    with pytest.raises(UsageError, match="--tls-insecure: cannot be combined with"):
        load_inventory(Path(), FleetRequest(tls_insecure=True, tls_verify=True))


def test_without_a_state_file_a_note_says_that_nothing_is_remembered(
    device: EosFleet, tmp_path: Path
) -> None:
    with Fleet(load_inventory(inventory(device, tmp_path))) as fleet:
        (note,) = fleet.notes()
        assert "ertificates are not verified" in note
        assert "keep a state file" in note
        fleet.trust(KnownKeys(dict))
        assert fleet.notes() == []


def test_a_host_at_an_address_of_the_ledger_must_be_known(
    device: EosFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dzbgp.fleet.load.is_ledgers_address", lambda *_: True)
    path, before = inventory(device, tmp_path), device.requests("ams-1")
    reading = read(path)
    assert "its address comes from the ledger" in str(reading.error)
    assert certificate(device) in str(reading.error)
    assert device.requests("ams-1") == before
    known = {("ams-1", TLS): certificate(device)}
    assert read(path, KnownKeys(lambda: known)).result is DeviceResult.OK
    assert read(path, insecure=True).result is DeviceResult.OK
    pinned = inventory(device, tmp_path, {"dz_tls_fingerprint": certificate(device)})
    assert read(pinned).result is DeviceResult.OK
    with pytest.raises(InventoryError, match="does not prove"):
        load_inventory(inventory(device, tmp_path, transport="http"))


def test_an_ssh_host_key_is_kept_and_expected_from_then_on(
    device: EosFleet, ssh: SshEos, tmp_path: Path
) -> None:
    path = over_ssh(device, ssh, tmp_path)
    with Store.open(tmp_path / "s.sqlite", PROGRAM) as store:
        assert read(path, known_keys(store)).result is DeviceResult.OK
    known = known_keys_of_file(tmp_path / "s.sqlite", PROGRAM)
    assert known.of("ams-1", SSH) == f"{ssh.key.get_name()} {ssh.key.get_base64()}"
    assert read(path, known).result is DeviceResult.OK


def test_a_changed_ssh_host_key_fails_the_device_with_both(
    device: EosFleet, ssh: SshEos, tmp_path: Path
) -> None:
    import paramiko  # noqa: PLC0415 - slow

    other = paramiko.RSAKey.generate(1024)
    old = f"{other.get_name()} {other.get_base64()}"
    reading = read(over_ssh(device, ssh, tmp_path), KnownKeys(lambda: {("ams-1", SSH): old}))
    assert reading.result is DeviceResult.FAILED
    now = f"{ssh.key.get_name()} {ssh.key.get_base64()}"
    for words in (shown(SSH, old), shown(SSH, now), "dzbgp inventory trust ams-1"):
        assert words in str(reading.error)


def test_a_fingerprint_is_read_as_openssl_writes_it() -> None:
    digits = OTHER.replace(":", "").lower()
    for text in (
        OTHER,
        digits,
        f"sha256:{digits}",
        f"SHA256 Fingerprint={OTHER}",
        f"sha256 Fingerprint={OTHER}",
    ):
        assert fingerprint(text) == OTHER
    for text in ("", OTHER[:-3], f"SHA1 Fingerprint={OTHER}", OTHER + ":00"):
        with pytest.raises(ValueError, match="SHA-256"):
            fingerprint(text)


def test_workers_are_told_what_is_known_and_add_nothing_to_it(device: EosFleet, tmp_path: Path) -> None:
    nornir = load_inventory(inventory(device, tmp_path), FleetRequest(runner=Runner.DASK))
    kept: list[str] = []
    Fleet(nornir).trust(KnownKeys(lambda: {("ams-1", TLS): OTHER}, lambda *_: kept.append("")))
    runner = nornir.runner
    assert isinstance(runner, DaskRunner)
    assert runner.recipe is not None
    recipe = runner.recipe
    there = recipe.build(*recipe.args, (Login(USERNAME, PASSWORD), None))
    assert there.config.user_defined[KNOWN].of("ams-1", TLS) == OTHER
    there.config.user_defined[KNOWN].add("nyc-1", TLS, OTHER)
    assert kept == []


def test_the_command_shows_what_it_trusts(device: EosFleet, tmp_path: Path) -> None:
    state = tmp_path / "s.sqlite"
    with Store.open(state, PROGRAM) as store:
        known_keys(store).add("ams-1", TLS, OTHER)
    options = {"--inventory": inventory(device, tmp_path), "--state": state, "--program-id": PROGRAM}
    words = [str(word) for pair in options.items() for word in pair]
    done = CliRunner().invoke(app, ["inventory", "trust", "ams-1", "--env", "localnet", *words])
    assert done.exit_code == 0, done.output
    assert f"It was {OTHER}\nams-1 (" in done.output
    assert f"trusted certificate {certificate(device)}" in done.output


def test_a_key_that_is_seen_first_does_not_replace_one_that_another_process_has_noted_meanwhile(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path / "state", PROGRAM) as watch, Store.open(tmp_path / "state", PROGRAM) as trusted:
        known = known_keys(watch)
        assert keep_known_key(trusted, "ams-1", TLS, OTHER)
        known.add("ams-1", TLS, ":".join(["CD"] * 32))
        assert known_keys(trusted).of("ams-1", TLS) == OTHER
