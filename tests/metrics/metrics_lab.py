"""The exposition of a real run on the lab, and promtool where it is installed."""

import functools
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import debian
from prometheus_client.parser import text_string_to_metric_families

from dzbgp.lab.lab import Lab
from dzbgp.lab.world.inventory import write_inventory
from dzbgp.lab.world.world import World
from dzbgp.metrics.registry import Metrics
from dzbgp.models.exit import exit_code_of
from dzbgp.models.report import Report
from dzbgp.run.once import run_once
from dzbgp.run.request import RunRequest

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
METRIC = re.compile(r"\b(?:dzbgp|doublezero)_[a-z0-9_]+\b")


class LabRun(NamedTuple):
    """What a run on the lab came to."""

    report: Report
    exposition: str


@contextmanager
def lab_request() -> Iterator[RunRequest]:
    """A lab on addresses of its own, and the request for a run on it."""
    net = f"127.{random.randint(110, 250)}.{random.randint(0, 255)}"
    devices = World.build().devices
    addresses = {spec.code: (f"{net}.{number}", 0) for number, spec in enumerate(devices, 1)}
    with Lab.start(addresses=addresses) as lab, tempfile.TemporaryDirectory() as directory:
        world = lab.world.relocated(lab.fleet.addresses)
        inventory = write_inventory(Path(directory) / "inventory", world).parent
        for code in ("tyo-dz-001", "sgp-dz-001"):
            lab.fleet.set_fault(code, None)
        yield RunRequest(
            inventory=inventory,
            env="localnet",
            rpc_urls=(lab.ledger.url,),
            keypairs=(lab.keypairs,),
            confirm_down_s=0.0,
            state=Path(directory) / "state.sqlite",
        )


@functools.cache
def lab_run() -> LabRun:
    """One pass over the lab, the same for every test of a process."""
    metrics = Metrics()
    with lab_request() as request:
        report = run_once(request, metrics=metrics)
    metrics.observe_pass(report, exit_code_of(report))
    return LabRun(report, metrics.render().decode())


def exported_names() -> set[str]:
    """Return every name that an expression may use: those of samples, and of families without samples."""
    text = lab_run().exposition
    declared = set(re.findall(r"^# TYPE (\S+) (?!histogram)", text, flags=re.MULTILINE))
    return declared | {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


def promtool(*args: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run promtool; skip the test without it."""
    debian.require("prometheus")
    return subprocess.run(
        ["promtool", *args], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
