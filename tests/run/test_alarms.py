"""When a problem is said: when it begins, when it ends, and once an hour."""

from datetime import UTC, datetime
from pathlib import Path

from core_builders import key, make_device

from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult
from dzbgp.models.submission import Outcome, Submission
from dzbgp.run.alarms import Alarms
from dzbgp.state.records import alarms
from dzbgp.state.store import Store


class Passes:
    """Passes of two hosts, with a clock of their own."""

    def __init__(self, store: Store | None = None) -> None:
        self.now = 1_000_000.0
        self.store = store
        self.alarms = Alarms(store, lambda: self.now)

    def restart(self) -> None:
        self.alarms = Alarms(self.store, lambda: self.now)

    def said(self, *failed: str, after_s: float = 60.0, hosts: str = "ab", writes: int = 0) -> list[str]:
        self.now += after_s
        readings = [
            DeviceReading(host, DeviceResult.FAILED, error="no answer")
            if host in failed
            else DeviceReading(host, DeviceResult.OK, make_device(ord(host)))
            for host in hosts
        ]
        lost = [Submission(key(number), Outcome.FAILED, error="NotAllowed") for number in range(writes)]
        report = Report(
            dry_run=False,
            env="localnet",
            program_id="x",
            slot=1,
            started_at=datetime.now(UTC),
            duration_s=1.0,
            devices=tuple(readings),
            decisions=(),
            submissions={one.user: one for one in lost},
        )
        return self.alarms.lines_after(report)


def test_a_problem_is_said_when_it_begins_and_when_it_ends() -> None:
    passes = Passes()
    assert passes.said() == []
    assert passes.said("a") == ["a: failed: no answer"]
    assert passes.said("a") == []
    assert passes.said("a", "b") == ["b: failed: no answer"]
    assert passes.said("b") == ["over after 3 min: a: failed: no answer"]
    assert passes.said() == ["over after 2 min: b: failed: no answer"]
    assert passes.said("a") == ["a: failed: no answer"]


def test_a_problem_that_lasts_is_said_once_an_hour() -> None:
    passes = Passes()
    lines = [line for _ in range(180) for line in passes.said("a")]
    assert lines == [
        "a: failed: no answer",
        "for 60 min now: a: failed: no answer",
        "for 2.0 h now: a: failed: no answer",
    ]


def test_a_clock_that_was_set_back_says_it_again_rather_than_never() -> None:
    passes = Passes()
    passes.said("a")
    assert passes.said("a", after_s=-7200) == ["for 0 s now: a: failed: no answer"]


def test_what_was_said_outlives_a_process(tmp_path: Path) -> None:
    with Store.open(tmp_path / "state", key(7)) as store:
        passes = Passes(store)
        passes.said("a")
        passes.restart()
        assert passes.said("a") == []
        assert [one.line for one in alarms(store)] == ["a: failed: no answer"]
        passes.restart()
        assert passes.said() == ["over after 2 min: a: failed: no answer"]
        assert alarms(store) == []


def test_runs_over_other_hosts_do_not_end_each_others_problems(tmp_path: Path) -> None:
    with Store.open(tmp_path / "state", key(7)) as store:
        passes, others = Passes(store), Passes(store)
        passes.said("a")
        assert others.said(hosts="cd") == []
        assert passes.said("a") == []
        assert passes.said() == ["over after 2 min: a: failed: no answer"]


def test_a_watch_that_asks_other_hosts_after_a_reload_keeps_no_problem_of_those_before(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path / "state", key(7)) as store:
        passes = Passes(store)
        passes.said("a")
        assert passes.said(hosts="b") == []
        assert alarms(store) == []


def test_a_failed_pass_says_nothing_of_other_problems_and_ends_with_the_next_good_one() -> None:
    passes = Passes()
    passes.said("a")
    assert passes.alarms.lines_after_failure("pass failed: RPC x: no answer") == [
        "pass failed: RPC x: no answer"
    ]
    assert passes.alarms.lines_after_failure("pass failed: RPC x: no answer") == []
    assert passes.said("a") == ["over after 60 s: pass failed: RPC x: no answer"]


def test_a_failed_write_has_no_end_and_is_not_said_in_every_pass() -> None:
    passes = Passes()
    (line,) = passes.said(writes=3)
    assert line.startswith("write failed: user ")
    assert line.endswith("and 2 more users on a device of an earlier pass: NotAllowed")
    assert passes.said() == []
    assert passes.said(writes=3) == []
    assert passes.said(after_s=3700.0) == []
    assert len(passes.said(writes=1)) == 1


def test_of_very_many_problems_the_rest_is_a_number() -> None:
    hosts = "".join(chr(0x4E00 + number) for number in range(100))
    lines = Passes().said(*hosts, hosts=hosts)
    assert len(lines) == 21
    assert lines[-1] == "and 80 more lines"
