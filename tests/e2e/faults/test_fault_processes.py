"""A few of the faults against the real command, with its own patience: report, exit code and chain agree."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_runs import Fault, Site, site
from fault_runs import FaultKind as Kind
from solders.pubkey import Pubkey

from dzbgp.lab.solana.ledger import Ledger

SLOT_MS = 40
SECRET = "canary-7f3d9a"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


def dzbgp(place: Site, ledger: Ledger, home: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON report and stderr of one pass."""
    options = {
        "--inventory": place.inventory, "--env": "localnet", "--rpc-url": f"{ledger.url}/{SECRET}",
        "--keypair": place.keypairs, "--confirm-down": "0s",
        "--max-down": "100%", "--submit-timeout": "20s", "--output": "json",
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "dzbgp",
        "run",
        *(str(part) for pair in options.items() for part in pair),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DZBGP_", "XDG_"))}
    done = subprocess.run(
        command, env=kept | {"HOME": str(home)}, capture_output=True, text=True, timeout=90, check=False
    )
    assert SECRET not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.mark.parametrize(
    ("faults", "code", "failed"),
    [
        ([Fault(kind=Kind.HANGUP_AFTER, method="sendTransaction", times=None)], 0, 0),
        ([Fault(kind=Kind.LOST_SEND, times=2), Fault(kind=Kind.HTTP_STATUS, status=429, times=3)], 0, 0),
        ([Fault(kind=Kind.REJECT_USER, by_confirmation=True, times=2)], 3, 2),
        ([Fault(kind=Kind.EXPIRE_BLOCKHASH, method="sendTransaction", slots=300)], 3, 0),
    ],
    ids=["lost-answers", "lost-sends-and-429", "rejected-by-confirmation", "expired"],
)
def test_the_command_itself_ends_with_chain_and_report_agreed(
    place: Site, tmp_path: Path, faults: list[Fault], code: int, failed: int
) -> None:
    world = place.world
    with Ledger.start(
        world.accounts(),
        program_id=world.program_id,
        balances={keypair.pubkey(): 10**10 for keypair in place.signers.values()},
        slot_ms=SLOT_MS,
        start_slot=world.now_slot,
        faults=faults,
    ) as ledger:
        returned, report, stderr = dzbgp(place, ledger, tmp_path)
        assert returned == code, stderr
        results = {user["user"]: user["result"] for user in report["users"] if user["result"]}
        assert list(results.values()).count("failed") == failed
        written = {Pubkey.from_string(key) for key, result in results.items() if result != "failed"}
        # What expired is not signed again before its device was asked again.
        expired = {
            Pubkey.from_string(user["user"]) for user in report["users"] if user["reason"] == "expired"
        }
        assert {Pubkey.from_string(key) for key in results} == set(world.expected()) - expired
        assert bool(expired) is (code == 3 and not failed)
        assert ledger.stats().per_user == dict.fromkeys(written, 1)
        ledger.clear_faults()
        ledger.advance(400)
        returned, report, stderr = dzbgp(place, ledger, tmp_path)
        assert (returned, report["summary"]["to_submit"]) == (0, len(expired)), stderr
        assert ledger.stats().per_user == dict.fromkeys(written | expired, 1)
