"""What a worker is told of how to build its Nornir, and what it is not told in the clear."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from nornir import InitNornir
from nornir.core.configuration import Config

from dzbgp.errors import ClusterError
from dzbgp.fleet.dask.recipe import Recipe, from_config
from dzbgp.fleet.dask.secrets import check_params, is_encrypted

CANARY = "canary-of-the-devices-41c7"
TCP, TLS = "tcp://127.0.0.1:8786", "tls://127.0.0.1:8786"


def config(inventory: dict[str, Any], **more: Any) -> Config:
    return Config.from_dict(inventory=inventory, **more)


def test_a_secret_is_sent_over_tls_only() -> None:
    asked = []

    def find() -> str:
        asked.append(1)
        return CANARY

    recipe = Recipe(InitNornir, ("x",), find)
    assert recipe.over(TCP).secret is None
    assert not asked
    assert recipe.over(TLS).secret == CANARY
    assert CANARY not in repr(recipe.over(TLS))
    assert pickle.loads(pickle.dumps(recipe.over(TLS))).secret == CANARY


@pytest.mark.parametrize(
    ("address", "so"), [(TCP, False), (TLS, True), ("wss://h:1", True), ("ws://h:1", False), ("h:1", False)]
)
def test_what_is_encrypted_is_known_by_the_address(address: str, so: bool) -> None:
    assert is_encrypted(address) is so


@pytest.mark.parametrize(
    ("inventory", "more", "where"),
    [
        ({"options": {"nb_token": CANARY}}, {}, "inventory.options.nb_token"),
        ({"options": {"nb_url": f"https://me:{CANARY}@netbox"}}, {}, "inventory.options.nb_url"),
        ({"options": {"nb_url": f"https://netbox/?t={CANARY}"}}, {}, "inventory.options.nb_url"),
        ({"options": {"ansible_pass": CANARY}}, {}, "inventory.options.ansible_pass"),
        ({"options": {"basic_auth": CANARY}}, {}, "inventory.options.basic_auth"),
        ({"options": {"headers": {"X-Api-Key": CANARY}}}, {}, "inventory.options.headers.X-Api-Key"),
        ({"options": {"rpc_url": f"https://rpc.example.net/{CANARY}"}}, {}, "inventory.options.rpc_url"),
        ({"transform_function_options": {"Password": CANARY}}, {}, "inventory.transform_function_options"),
        ({}, {"user_defined": {"deep": [{"api_key": CANARY}]}}, "user_defined.deep.0.api_key"),
    ],
)
def test_a_configuration_with_a_secret_goes_over_tls_or_nowhere(
    inventory: dict[str, Any], more: dict[str, Any], where: str
) -> None:
    with pytest.raises(ClusterError) as raised:
        from_config(config(inventory, **more), TCP)
    assert where in str(raised.value)
    assert CANARY not in str(raised.value)
    recipe = from_config(config(inventory, **more), TLS)
    assert CANARY in str(recipe.over(TLS).secret)
    assert CANARY not in repr(recipe.over(TLS))


def test_a_configuration_without_one_builds_the_same_inventory_again(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("ams-1: {hostname: 127.0.0.1}\nfra-1: {}\n", encoding="utf-8")
    options = {"host_file": str(tmp_path / "hosts.yaml"), "group_file": "none", "defaults_file": "none"}
    given = config({"options": options}, runner={"plugin": "dask", "options": {"num_workers": 3}})
    for address in (TCP, TLS):
        built = from_config(given, address).over(address)()
        assert list(built.inventory.hosts) == ["ams-1", "fra-1"]
        assert built.config.runner.plugin == "serial"


def test_an_argument_that_looks_like_a_secret_goes_over_tls_or_nowhere() -> None:
    params = {"command": "show version", "login": {"password": CANARY}}
    check_params(params, TLS)
    check_params({"url": "https://example.net/a/short/path", "command": "show version"}, TCP)
    with pytest.raises(ClusterError) as raised:
        check_params(params, TCP)
    assert "argument login.password of the task" in str(raised.value)
    assert CANARY not in str(raised.value)
