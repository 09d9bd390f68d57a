import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from e2e_lab import CHECKOUT, DEADLINE_S, Done, began, dzbgp, ended, environment, random_net

from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import World

WRITTEN = "39 submitted"


def inventory_elsewhere(directory: Path) -> Path:
    """An inventory of the lab's fleet on addresses of its own."""
    world, net = World.build(), random_net()
    moved = {spec.code: (f"{net}.{spec.address.split('.')[2]}", spec.port) for spec in world.devices}
    return write_inventory(directory, world.relocated(moved)).parent


@contextmanager
def lab_command(home: Path, *args: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`dzbgp lab`, and what it has said when it is ready."""
    process = began(home, "lab", *args)
    said = ""
    try:
        assert process.stdout is not None
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, said
    finally:
        process.kill()
        process.communicate()


def keypairs(home: Path) -> list[str]:
    return sorted(file.name for file in (home / ".lab" / "keypairs").glob("*"))


def tried(said: str) -> list[list[str]]:
    """The arguments of the commands that a lab says to try."""
    return [shlex.split(line.partition(" dzbgp ")[2]) for line in said.splitlines() if line.startswith("  ")]


def test_run_lab_needs_nothing_else(tmp_path: Path) -> None:
    done = dzbgp(tmp_path, "run", "--lab", "--output", "table")
    assert done.code == 3, done.err
    assert WRITTEN in done.out
    assert not list(tmp_path.glob("*.json"))


def test_run_py_works_from_a_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "run.py", "run", "--lab", "--limit", "ams-dz-001", "--output", "table"]
    assert os.access(CHECKOUT / "run.py", os.X_OK)
    run = subprocess.run(
        command, cwd=CHECKOUT, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "10 submitted" in run.stdout


def test_python_m_dzbgp_works(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dzbgp", "--version"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("dzbgp ")


def test_two_labs_run_side_by_side_each_on_addresses_of_its_own(tmp_path: Path) -> None:
    elsewhere = inventory_elsewhere(tmp_path / "inventory")
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    runs = [
        began(tmp_path / name, "run", "--lab", "--output", "table", *args)
        for name, args in {"one": [], "two": [], "three": ["--inventory", str(elsewhere)]}.items()
    ]
    for done in map(ended, runs):
        assert done.code == 3, done.err
        assert WRITTEN in done.out


def test_a_taken_address_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    inventory = inventory_elsewhere(tmp_path / "inventory")
    world = World.build()
    with closing(socket.socket()) as listener:
        address = _address_of(inventory, "ams-dz-001")
        listener.bind((address, world.device("ams-dz-001").port))
        listener.listen()
        done = dzbgp(tmp_path, "run", "--lab", "--inventory", str(inventory))
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert f"ams-dz-001 can't listen on {address}:8443" in done.error
    assert "is another lab running?" in done.error


def _address_of(inventory: Path, host: str) -> str:
    lines = (inventory / "hosts.yaml").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"{host}:")
    return next(line.split()[-1] for line in lines[start:] if "hostname:" in line)


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_the_lab_says_a_command_that_works_and_leaves_no_keypair_behind(
    tmp_path: Path, wanted: signal.Signals
) -> None:
    seed = "1" if wanted is signal.SIGINT else "7"
    with lab_command(tmp_path, "--port", "0", "--seed", seed) as (process, said):
        assert re.match(r"8 devices, such as ams-dz-001 at 127\.[0-9]+\.[0-9]+\.1:8443\n", said)
        assert keypairs(tmp_path) == ["kestrel.json", "northlight.json", "tidewater.json"]
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        done = dzbgp(elsewhere, *tried(said)[0], "--output", "table")
        assert done.code == 3, done.err
        assert "39 to submit" in done.out
        process.send_signal(wanted)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert Done(process.returncode, out, err) == Done(0, "stopping\n", "")
    assert keypairs(tmp_path) == []
    assert sorted(file.name for file in (tmp_path / ".lab").iterdir()) == ["inventory", "keypairs"]


def test_the_commands_that_the_lab_prints_show_the_guard_from_the_first_run_to_the_release(
    tmp_path: Path,
) -> None:
    with lab_command(tmp_path, "--port", "0") as (_process, said):
        columns = {re.search(" dzbgp ", line).start() for line in said.splitlines() if line.startswith("  ")}  # type: ignore[union-attr]
        assert len(columns) == 1
        done = [(command, dzbgp(tmp_path, *command, DZBGP_CONFIRM_DOWN="0s")) for command in tried(said)]
    # Two devices of the lab never give a credible answer.
    assert [(command[0], one.code) for command, one in done] == [
        ("run", 3), ("run", 3), ("users", 0), ("explain", 0), ("lab", 0), ("lab", 0), ("run", 4), ("status", 4),
        ("release", 0), ("run", 3),
    ]  # fmt: skip
    assert "What to do" in done[3][1].out
    assert "held by the guard" in done[7][1].out
    assert "Released" in done[8][1].out


def test_the_lab_can_be_changed_while_it_runs(tmp_path: Path) -> None:
    with lab_command(tmp_path, "--port", "0"):
        for words, told in {
            "flap ams-dz-001": r"ams-dz-001: the session with 169\.254\.[0-9.]+ is down, and back in 3 s",
            "mass-down frankfurt-1": "frankfurt-1: [0-9]+ sessions are down",
            "recover fra-dz-001": "fra-dz-001: [0-9]+ sessions are back",
            "rpc freeze": "the RPC's ledger is frozen now",
            "rpc thaw": "the RPC's ledger runs again",
        }.items():
            done = dzbgp(tmp_path, "lab", *words.split())
            assert done.code == 0, done.err
            assert re.fullmatch(f"{told}\n", done.out)
        for words, why in {
            "flap nobody": "unknown host 'nobody': expected one of ",
            "flap ams-dz-001 192.0.2.1": "ams-dz-001: no session with 192.0.2.1 is Established",
            "explode": "unknown action 'explode': expected one of flap HOST [PEER], ",
        }.items():
            done = dzbgp(tmp_path, "lab", *words.split())
            assert (done.code, why in done.error) == (2, True), done.err
    gone = dzbgp(tmp_path, "lab", "flap", "ams-dz-001")
    assert (gone.code, "no lab is running there" in gone.error) == (1, True)


def test_a_lab_that_is_started_again_is_another_ledger_for_the_same_state_file(tmp_path: Path) -> None:
    command = ["run", "--inventory", ".lab/inventory", "--env", "localnet", "--keypair", ".lab/keypairs"]
    for _ in range(2):
        with lab_command(tmp_path, "--port", "0") as (_process, said):
            [url] = re.findall(r"ledger: (\S+)", said)
            done = dzbgp(tmp_path, *command, "--rpc-url", url, "--limit", "ams-dz-001", "--tls-insecure")
            assert done.code == 0, done.err
            assert "not believed" not in done.err


def test_a_directory_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = dzbgp(tmp_path, "lab", "--dir", "file/lab")
    assert (done.code, done.error) == (1, "error: --dir file/lab: Not a directory")
