"""Which runner the options and a Nornir configuration come to."""

from typing import Any

import pytest

from dzbgp.errors import UsageError
from dzbgp.fleet.options import FleetRequest, Runner
from dzbgp.fleet.runner import runner_of

CLUSTER = {"plugin": "dask", "options": {"scheduler": "tls://10.0.0.9:8786", "patience_s": 2}}


@pytest.mark.parametrize(
    ("configured", "request_", "plugin", "options"),
    [
        (None, FleetRequest(), "threaded", {"num_workers": 20}),
        (None, FleetRequest(processes=3), "dask", {"processes": 3}),
        (None, FleetRequest(processes=3, workers=5), "dask", {"processes": 3, "num_workers": 5}),
        (None, FleetRequest(runner=Runner.DASK), "dask", {}),
        (CLUSTER, FleetRequest(), "dask", CLUSTER["options"]),
        (CLUSTER, FleetRequest(processes=3), "dask", {"processes": 3, "patience_s": 2}),
        ({"plugin": "serial"}, FleetRequest(processes=3), "dask", {"processes": 3}),
        (
            {"plugin": "dask", "options": {"processes": 3}},
            FleetRequest(scheduler="tcp://127.0.0.1:1"),
            "dask",
            {"scheduler": "tcp://127.0.0.1:1"},
        ),
        (CLUSTER, FleetRequest(runner=Runner.THREADED), "threaded", {"num_workers": 20}),
    ],
)
def test_the_runner_is_the_configurations_overridden_by_the_options(
    configured: Any, request_: FleetRequest, plugin: str, options: dict[str, Any]
) -> None:
    assert runner_of(configured, request_) == {"plugin": plugin, "options": options}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            FleetRequest(runner=Runner.SERIAL, processes=2),
            "--processes: needs --runner dask, but the runner is 'serial'",
        ),
        (
            FleetRequest(scheduler="tcp://127.0.0.1:1"),
            "--scheduler: needs --runner dask, but the runner is 'threaded'",
        ),
        (
            FleetRequest(scheduler="tcp://127.0.0.1:1", processes=2),
            "--processes: starts a cluster, but --scheduler names one that runs; give one of the two",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(request_: FleetRequest, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        runner_of(None, request_)
    assert str(raised.value) == words
