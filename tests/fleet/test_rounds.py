"""Rounds that are given up."""

import threading
import time

import pytest
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
from nornir.core.task import Result, Task
from nornir.plugins.runners import ThreadedRunner

from dzbgp.fleet.rounds import Rounds


class GivenUpError(Exception):
    pass


def test_a_host_that_a_round_that_was_given_up_still_asks_is_not_asked_beside_it() -> None:
    hosts = Hosts({name: Host(name) for name in ("ams-1", "ams-2")})
    nornir = Nornir(
        inventory=Inventory(hosts, Groups(), Defaults()), runner=ThreadedRunner(2), config=Config()
    )
    rounds, begun, may_answer = Rounds(nornir, 10.0), list[str](), threading.Event()

    def ask(task: Task, timeout_s: float) -> Result:
        begun.append(task.host.name)
        if task.host.name == "ams-1":
            may_answer.wait(timeout_s)
        return Result(task.host)

    def give_up() -> None:
        raise GivenUpError

    try:
        with pytest.raises(GivenUpError):
            rounds.run(ask, list(hosts), lambda _: None, give_up)
        # It waits for the other round as long as it may itself, and then for nobody.
        found = rounds.run(ask, list(hosts), lambda _: None, within_s=0.2)
        assert found["ams-1"] is None
        assert begun.count("ams-1") == 1
    finally:
        may_answer.set()
    ends_at = time.monotonic() + 10
    while rounds.run(ask, list(hosts), lambda _: None)["ams-1"] is None:
        assert time.monotonic() < ends_at
    assert begun.count("ams-1") == 2
