"""Keys that can do more than they need to, and keys that are on the machine but were not given."""

import json
from pathlib import Path

import pytest
from core_builders import key, make_device
from solders.keypair import Keypair

from dzbgp.diagnostics.check.found_keys import check_doublezero_configuration, check_found_keys
from dzbgp.diagnostics.check.keys import check_duties
from dzbgp.diagnostics.check.results import Verdict
from dzbgp.ledger.networks import network
from dzbgp.ledger.submit.signers import Signers

KEY = Keypair()
SIGNERS = Signers({KEY.pubkey(): KEY})
PUBLISHERS = {KEY.pubkey(): ["ams-dz-001"]}


def test_a_given_key_that_no_device_of_the_program_uses_is_a_warning() -> None:
    old = Keypair()
    signers = Signers({KEY.pubkey(): KEY, old.pubkey(): old})
    (found,) = check_duties([make_device(1, metrics_publisher_pk=KEY.pubkey())], signers)
    assert (found.subject, found.check, found.verdict) == (str(old.pubkey()), "unused", Verdict.WARNING)
    assert "of no device of this program" in found.detail


def test_a_publisher_that_owns_its_device_or_signs_for_several_contributors_is_a_warning() -> None:
    own = make_device(1, metrics_publisher_pk=KEY.pubkey(), contributor_pk=key(50))
    assert not list(check_duties([own, make_device(2)], SIGNERS))
    owned = make_device(3, metrics_publisher_pk=KEY.pubkey(), owner=KEY.pubkey(), contributor_pk=key(51))
    found = list(check_duties([own, owned], SIGNERS))
    assert [item.check for item in found] == ["owner", "contributors"]
    assert owned.code in found[0].detail


@pytest.mark.parametrize("kind", ["path", "json", "configuration"])
def test_doublezeros_own_places_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "held.json"
    text = json.dumps(list(bytes(KEY)))
    file.write_text(text, encoding="ascii")
    configuration = tmp_path / "dz.yml"
    configuration.write_text(f"keypair_path: {file}\n", encoding="ascii")
    environ = {
        "path": {"DOUBLEZERO_KEYPAIR": str(file)},
        "json": {"DOUBLEZERO_KEYPAIR": text},
        "configuration": {"DOUBLEZERO_CONFIG_FILE": str(configuration)},
    }[kind]
    (item,) = check_found_keys(PUBLISHERS, None, environ)
    assert "not used" in item.detail
    assert text not in item.detail + item.hint
    assert not list(check_found_keys(PUBLISHERS, SIGNERS, environ))
    assert not list(check_found_keys({}, None, environ))


def test_a_configuration_of_doublezeros_own_that_names_another_ledger_is_told(tmp_path: Path) -> None:
    net = network("testnet", ("https://rpc.example.net/SECRET",))
    configuration = tmp_path / "dz.yml"

    def told(text: str) -> list[str]:
        configuration.write_text(text, encoding="ascii")
        found = check_doublezero_configuration(net, {"DOUBLEZERO_CONFIG_FILE": str(configuration)})
        assert all(item.verdict is Verdict.WARNING for item in found)
        return [item.detail for item in found]

    same = f"program_id: {net.program_id}\njson_rpc_url: https://rpc.example.net/OTHER\n"
    assert told(same) == told("a: [") == told("") == []
    (other,) = told("program_id: 7CTniUa88iJKUHTrCkB4TjAoG6TD7AMivhQeuqN2LPtX\n")
    assert other.endswith(
        f"names program 7CTniUa88iJKUHTrCkB4TjAoG6TD7AMivhQeuqN2LPtX, this run {net.program_id}"
    )
    (url,) = told(f"program_id: {net.program_id}\njson_rpc_url: https://elsewhere.example.net/SECRET\n")
    assert url.endswith("names https://elsewhere.example.net, this run asks https://rpc.example.net")


def test_what_is_no_keypair_or_nowhere_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("no home")))
    configuration = tmp_path / "dz.yml"
    configuration.write_text("a: [", encoding="ascii")
    for environ in ({}, {"DOUBLEZERO_KEYPAIR": "[1]"}, {"DOUBLEZERO_CONFIG_FILE": str(configuration)}):
        assert not list(check_found_keys(PUBLISHERS, None, environ))
