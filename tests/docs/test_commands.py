"""The commands of the pages do what the pages say: run in order, against the lab as if it were the real network."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_lab import CHECKOUT, SCRIPT, E2eLab, edited, environment, started_lab
from pages import PAGES, README, blocks, releases

from dzbgp.lab.world.world import LAB_PASSWORD, LAB_USERNAME

NOT_RUN = {
    "CI installs the wheel in a fresh environment by the same commands",
    "it makes an account and writes to /etc/cron.d",
    "the reader brings these files",
    "it needs a running systemd",
    "it needs a Kubernetes cluster",
    "the tests have the extra already",
    "DoubleZero's own command line",
    "Solana's own command line",
    "it runs until it is stopped",
    "it waits for the reader's own devices",
    "CI runs them by name",
}
WITH_COMMANDS = [page for page in (README, *PAGES) if any(not block.not_run for block in blocks(page))]
FIRST = {README, README.parent / "docs/first-run.md"}
"""What a newcomer follows: without a configuration, to the first write."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[E2eLab]:
    with started_lab(tmp_path / "lab") as made:
        made.heal()
        yield made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def settled(lab: E2eLab, root: Path, port: int, text: str) -> str:
    """The text with the sandbox's paths, and with the lab for the network."""
    names = {
        "/etc/dzbgp": f"{root}/etc",
        "/var/lib/dzbgp": f"{root}/var",
        "/opt/dzbgp/bin/dzbgp": str(SCRIPT),
        "=testnet": "=localnet",
        "dz://testnet": "dz://localnet",
        "https://rpc.example.net/TOKEN": lab.ledger.url,
        "8786": str(port),
    }
    for name, real in names.items():
        text = text.replace(name, real)
    return text


def furnish(lab: E2eLab, root: Path) -> None:
    """What the reader brings: the inventory with its own addresses, the key, the login, the CA."""
    for name in ("etc/secrets", "var", "home"):
        (root / name).mkdir(parents=True)
    shutil.copytree(lab.inventory, root / "etc/inventory")
    with edited(root / "etc/inventory/defaults.yaml") as defaults:
        del defaults["username"], defaults["password"]
    for file in lab.keypairs.glob("*.json"):
        shutil.copy(file, root / "etc/secrets")
    (root / "etc/secrets/eos-password").write_text(f"{LAB_PASSWORD}\n", encoding="ascii")
    (root / "etc/ca.pem").write_text(lab.fleet.ca_pem, encoding="ascii")


def configure(lab: E2eLab, root: Path, port: int) -> None:
    """The shipped example of a configuration, where the pages have it and where dzbgp looks by itself."""
    example = (CHECKOUT / "contrib/config.toml").read_text(encoding="utf-8")
    config = settled(lab, root, port, example.replace('"mainnet-beta"', '"localnet"'))
    config = config.replace("publisher.json", "").replace('"monitor"', f'"{LAB_USERNAME}"')
    for file in (root / "etc/config.toml", root / "home/.config/dzbgp/config.toml"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(config, encoding="utf-8")


def bring_here(root: Path) -> None:
    """The files where the README's reader has them: in the directory of the commands."""
    (root / "fleet").symlink_to("etc/inventory")
    (root / "ca.pem").symlink_to("etc/ca.pem")
    (root / "eos-password").symlink_to("etc/secrets/eos-password")
    (root / "publisher.json").symlink_to("etc/secrets/northlight.json")


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_command_of_a_page_ends_as_the_page_says(lab: E2eLab, tmp_path: Path, page: Path) -> None:
    furnish(lab, tmp_path)
    failures = tmp_path / "failures"
    failures.touch()
    script, wanted, port = ["set -uE"], [], free_port()
    for number, block in enumerate(blocks(page)):
        if block.not_run:
            continue
        # A reader's `monitor` is the lab's own user.
        text = settled(lab, tmp_path, port, block.text).replace(
            "USERNAME=monitor", f"USERNAME={LAB_USERNAME}"
        )
        text = text.replace("--eos-username monitor", f"--eos-username {LAB_USERNAME}").replace(
            "--env testnet", "--env localnet"
        )
        script += [f"trap 'echo {number} $? >> {failures}' ERR", text]
        wanted += [f"{number} {block.exits}"] if block.exits else []
    env = environment(tmp_path / "home", PATH=f"{SCRIPT.parent}:/usr/bin:/bin")
    if page in FIRST:
        # What only the reader knows of the devices stands there already; nobody else's are in it.
        shutil.copy(tmp_path / "etc/secrets/northlight.json", tmp_path / "etc/secrets/publisher.json")
        with edited(tmp_path / "etc/inventory/hosts.yaml") as hosts:
            own = {spec.host for spec in lab.world.devices if spec.contributor == "northlight"}
            for name in hosts.keys() - own:
                del hosts[name]
    else:
        configure(lab, tmp_path, port)
    if page == README:
        bring_here(tmp_path)
    if page.name == "guard.md":
        script.insert(0, "dzbgp run --quiet > /dev/null")  # A pass to look back on.
        for command in releases().values():
            # Without what leads to the machine or to the account, of which there is one here.
            words = settled(lab, tmp_path, port, command.partition("dzbgp release")[2])
            script.append(f"dzbgp release{words.replace('mainnet-beta', 'localnet')}")
    done = subprocess.run(
        ["/bin/bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert failures.read_text(encoding="ascii").split("\n")[:-1] == wanted, done.stdout + done.stderr
    if page in FIRST:
        # A newcomer has written what was due.
        assert lab.ledger.stats().per_user


def test_what_no_test_runs_is_known() -> None:
    assert {block.not_run for page in (README, *PAGES) for block in blocks(page) if block.not_run} == NOT_RUN


def test_every_page_is_linked_from_the_index_and_every_link_between_pages_leads_somewhere() -> None:
    index = (PAGES[0].parent / "README.md").read_text(encoding="utf-8")
    for page in (README, *PAGES):
        assert page.name == "README.md" or f"({page.name})" in index
        for link in page.read_text(encoding="utf-8").split("](")[1:]:
            target = link.split(")")[0].split("#")[0]
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
