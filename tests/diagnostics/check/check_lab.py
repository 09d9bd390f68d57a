"""`dzbgp check` in the test's own process, against real devices and a real ledger of the lab."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e_lab import E2eLab
from typer.testing import CliRunner, Result

from dzbgp.cli import app as cli

Finding = dict[str, str]
TIMEOUT_S = 3
"""How long a device may take: with less, one of a busy machine's fails."""


@dataclass(frozen=True)
class Checked:
    """What a check has said."""

    result: Result

    @property
    def code(self) -> int:
        return self.result.exit_code

    @property
    def document(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.result.stdout)
        return loaded

    def found(self, *, check: str = "", subject: str = "", section: str = "") -> list[Finding]:
        return [
            item
            for item in self.document["findings"]
            if (not check or item["check"] == check)
            and (not subject or item["subject"] == subject)
            and (not section or item["section"] == section)
        ]

    @property
    def failed(self) -> list[Finding]:
        return [item for item in self.document["findings"] if item["verdict"] == "fail"]

    @property
    def warned(self) -> list[Finding]:
        return [item for item in self.document["findings"] if item["verdict"] == "warning"]

    def only_failure(self) -> Finding:
        (item,) = self.failed
        assert item["hint"], item
        assert "\n" not in item["detail"] + item["hint"]
        return item


def pointed(lab: E2eLab, state: Path) -> list[str]:
    args = ["--env", "localnet", "--rpc-url", lab.ledger.url, "--keypair", str(lab.keypairs)]
    return [*args, "--inventory", str(lab.inventory), "--state", str(state)]


def check(*args: str, output: str = "json", **env: str) -> Checked:
    settings = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1", "HOME": "/nonexistent", **env}
    return Checked(CliRunner().invoke(cli.app, ["check", "--output", output, *args], env=settings))
