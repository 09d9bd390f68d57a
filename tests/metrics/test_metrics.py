import asyncio
import threading
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from metrics_lab import lab_run
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families
from report_builders import AMS, DOWN, FRA, NEVER, NYC, TYO, UP, decision, key, mixed, reading, report

from dzbgp.errors import DzbgpError, ExitCode, UsageError
from dzbgp.ledger.errors import LedgerError, RpcTransportError
from dzbgp.ledger.events import FetchEvent, FetchResult
from dzbgp.ledger.networks import network
from dzbgp.ledger.program import cache as program_data
from dzbgp.ledger.program.cache import ProgramDataFetcher
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.metrics.registry import Metrics
from dzbgp.metrics.server import parse_address
from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import ProgramData
from dzbgp.models.session import DeviceReading, DeviceResult, Observed
from dzbgp.models.submission import Outcome, Submission

UPSTREAMS = {
    "doublezero_telemetry_programdata_fetch_duration_seconds",
    "doublezero_telemetry_programdata_fetch",
    "doublezero_telemetry_programdata_stale_cache_age_seconds",
    "doublezero_bgpstatus_submissions",
    "doublezero_bgpstatus_submission_duration_seconds",
}
"""As the parser names them: a counter without its _total."""
OTHER = replace(TYO, metrics_publisher_pk=key("another publisher"))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """Return every sample by name and label values."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, *labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels)))


def silent(device: Any) -> DeviceReading:
    return DeviceReading(device.code, DeviceResult.FAILED, device, "no answer within 30 s")


def reported(item: Decision, slot: int) -> Decision:
    user = structs.replace(item.observation.user, last_bgp_reported_at=slot)
    return structs.replace(item, observation=structs.replace(item.observation, user=user))


def test_upstreams_five_metrics_have_their_names_labels_and_buckets() -> None:
    metrics = Metrics()
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    buckets = [
        sample.labels["le"]
        for sample in families["doublezero_bgpstatus_submission_duration_seconds"].samples
        if sample.name.endswith("_bucket")
    ]
    submissions = families["doublezero_bgpstatus_submissions"].samples
    fetches = families["doublezero_telemetry_programdata_fetch"].samples

    assert {name for name in families if name.startswith("doublezero_")} == UPSTREAMS
    assert buckets == ["0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "+Inf"]
    assert {tuple(sorted(sample.labels.items())) for sample in submissions} == {
        (("bgp_status", status), ("result", result))
        for status in ("up", "down")
        for result in ("success", "error")
    }
    assert {sample.name for sample in submissions} == {"doublezero_bgpstatus_submissions_total"}
    assert [sample.labels["result"] for sample in fetches] == ["success", "error_stale", "error_no_cache"]


def test_a_device_that_leaves_takes_all_its_series_and_those_of_its_publisher_along() -> None:
    metrics = Metrics()
    users = [reported(decision(number, device, UP, UP), 7) for number, device in ((1, NYC), (2, OTHER))]
    both = report(*users, devices=(reading(NYC, up=2), reading(OTHER, up=1, down=1)))
    metrics.observe_balances({NYC.metrics_publisher_pk: 2 * 10**9, OTHER.metrics_publisher_pk: 10**9})
    metrics.observe_pass(both, ExitCode.OK)
    gone = (OTHER.code, str(OTHER.metrics_publisher_pk))
    assert all(name in metrics.render().decode() for name in gone)

    metrics.observe_pass(report(users[0], devices=(reading(NYC, up=2),)), ExitCode.OK)

    assert not any(name in metrics.render().decode() for name in gone)
    assert value(metrics, "dzbgp_device_sessions", NYC.code) == 2
    assert value(metrics, "dzbgp_publisher_balance_sol", str(NYC.metrics_publisher_pk)) == 2


def test_a_device_that_leaves_while_it_is_silent_is_gone_too_and_begins_anew_when_it_returns() -> None:
    metrics = Metrics()
    metrics.observe_pass(report(devices=(reading(NYC), reading(TYO))), ExitCode.OK)
    metrics.observe_pass(report(devices=(reading(NYC), silent(TYO))), ExitCode.PARTIAL)
    metrics.observe_pass(report(devices=(reading(NYC),)), ExitCode.OK)
    assert TYO.code not in metrics.render().decode()

    metrics.observe_pass(report(devices=(reading(NYC), silent(TYO))), ExitCode.PARTIAL)

    assert value(metrics, "dzbgp_device_last_success_timestamp_seconds", TYO.code) == 0


def test_users_that_are_gone_and_reasons_that_no_longer_hold_leave_no_count_behind() -> None:
    metrics = Metrics()
    metrics.observe_pass(mixed(dry_run=False), ExitCode.PARTIAL)
    assert value(metrics, "dzbgp_decisions", "hold", "guard") == 2
    assert value(metrics, "dzbgp_users_held") == 2

    metrics.observe_pass(
        report(decision(1, NYC, UP, UP, action=Action.SKIP, reason="unchanged")), ExitCode.OK
    )

    decisions = {
        labels: count for (name, labels), count in samples(metrics).items() if name == "dzbgp_decisions"
    }
    assert decisions == {frozenset({"skip", "unchanged"}): 1}
    assert value(metrics, "dzbgp_users_held") == 0
    users = [count for (name, _), count in samples(metrics).items() if name == "dzbgp_users"]
    assert sum(users) == 1
    assert value(metrics, "dzbgp_users", "up", "established") == 1


def test_what_is_held_because_of_another_writer_is_not_held_by_the_guard() -> None:
    metrics = Metrics()
    held = decision(1, NYC, UP, DOWN, action=Action.HOLD, reason="other-writer")
    metrics.observe_pass(report(held), ExitCode.HELD)
    assert value(metrics, "dzbgp_decisions", "hold", "other-writer") == 1
    assert value(metrics, "dzbgp_users_held") == 0


def test_a_silent_device_keeps_the_time_of_its_last_answer_and_shows_no_old_sessions() -> None:
    clock = Clock()
    metrics = Metrics(now=clock)
    metrics.observe_pass(report(devices=(reading(TYO, up=3, down=1),)), ExitCode.OK)
    assert value(metrics, "dzbgp_device_sessions_established", TYO.code) == 3
    clock.now = 2_000.0

    metrics.observe_pass(report(devices=(silent(TYO),)), ExitCode.PARTIAL)

    assert value(metrics, "dzbgp_device_last_success_timestamp_seconds", TYO.code) == 1_000
    assert value(metrics, "dzbgp_last_pass_timestamp_seconds") == 2_000
    assert value(metrics, "dzbgp_device_up", TYO.code) == 0
    assert value(metrics, "dzbgp_device_sessions", TYO.code) is None
    assert value(metrics, "dzbgp_hosts", "failed") == 1


def test_a_device_never_heard_of_has_a_last_answer_of_zero_so_that_its_silence_is_seen() -> None:
    metrics = Metrics()
    metrics.observe_pass(report(devices=(silent(TYO),)), ExitCode.PARTIAL)

    assert value(metrics, "dzbgp_device_last_success_timestamp_seconds", TYO.code) == 0


def test_a_host_that_is_no_device_is_counted_and_has_no_series() -> None:
    metrics = Metrics()
    metrics.observe_pass(
        report(devices=(DeviceReading("spare-1", DeviceResult.UNMATCHED),)), ExitCode.PARTIAL
    )

    assert value(metrics, "dzbgp_hosts", "unmatched") == 1
    assert "spare-1" not in metrics.render().decode()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (LedgerError("away"), "could_not_run"),
        (DzbgpError("no"), "could_not_run"),
        (UsageError("no inventory"), "usage"),
        (ValueError("a fault"), "could_not_run"),
        (KeyboardInterrupt(), "could_not_run"),
    ],
)
def test_a_pass_that_fails_as_a_whole_counts_under_its_exit_code_and_hides_what_it_did_not_see(
    error: BaseException, word: str
) -> None:
    clock = Clock()
    metrics = Metrics(now=clock)
    metrics.observe_balances({NYC.metrics_publisher_pk: 10**9})
    metrics.observe_pass(report(decision(1, NYC, UP, DOWN), devices=(reading(NYC, up=1),)), ExitCode.OK)
    clock.now = 2_000.0

    metrics.observe_failed_pass(error, 1.5)

    assert value(metrics, "dzbgp_passes_total", word) == 1
    assert value(metrics, "dzbgp_last_pass_result", word) == 1
    assert value(metrics, "dzbgp_last_pass_result", "ok") == 0
    assert value(metrics, "dzbgp_last_pass_duration_seconds") == 1.5
    assert value(metrics, "dzbgp_last_pass_timestamp_seconds") == 2_000
    assert value(metrics, "dzbgp_last_complete_pass_timestamp_seconds") == 1_000
    assert value(metrics, "dzbgp_device_last_success_timestamp_seconds", NYC.code) == 1_000
    assert value(metrics, "dzbgp_publisher_balance_sol", str(NYC.metrics_publisher_pk)) == 1
    assert not {name for name, _ in samples(metrics)} & {
        "dzbgp_users", "dzbgp_decisions", "dzbgp_device_up", "dzbgp_device_sessions", "dzbgp_submissions",
    }  # fmt: skip


def test_writes_count_by_status_and_a_fate_not_known_is_an_error() -> None:
    metrics = Metrics()
    metrics.observe_pass(mixed(dry_run=False), ExitCode.PARTIAL)

    assert value(metrics, "doublezero_bgpstatus_submissions_total", "up", "success") == 2
    assert value(metrics, "doublezero_bgpstatus_submissions_total", "up", "error") == 1
    assert value(metrics, "doublezero_bgpstatus_submissions_total", "down", "success") == 1
    assert value(metrics, "doublezero_bgpstatus_submissions_total", "down", "error") == 1
    assert value(metrics, "dzbgp_submissions", "pending") == 1
    assert value(metrics, "dzbgp_submissions", "finalized") == 1
    assert value(metrics, "dzbgp_transactions_total") == 3


def test_a_write_is_timed_from_its_first_signature_and_one_never_signed_is_not() -> None:
    metrics = Metrics()
    first, second = decision(1, NYC, DOWN, UP), decision(2, NYC, UP, DOWN)
    done = (
        Submission(first.observation.user.pubkey, Outcome.CONFIRMED, "s", seconds=1.25),
        Submission(second.observation.user.pubkey, Outcome.FAILED, error="nothing was sent"),
    )
    metrics.observe_pass(report(first, second, submissions=done, dry_run=False), ExitCode.PARTIAL)

    assert value(metrics, "doublezero_bgpstatus_submission_duration_seconds_count") == 1
    assert value(metrics, "doublezero_bgpstatus_submission_duration_seconds_sum") == 1.25


def test_a_write_of_an_earlier_pass_counts_under_the_status_that_it_wrote() -> None:
    metrics = Metrics()
    by_now = decision(1, NYC, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-answer")
    done = (
        Submission(by_now.observation.user.pubkey, Outcome.CONFIRMED, "s", seconds=2.0, status=UP),
        Submission(key("user that has left"), Outcome.FAILED, error="no", status=DOWN),
    )
    metrics.observe_pass(report(by_now, submissions=done, dry_run=False), ExitCode.OK)

    assert value(metrics, "doublezero_bgpstatus_submissions_total", "up", "success") == 1
    assert value(metrics, "doublezero_bgpstatus_submissions_total", "down", "error") == 1


def test_counters_go_on_from_pass_to_pass() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.observe_pass(mixed(dry_run=False), ExitCode.PARTIAL)
        metrics.observe_rpc(Counter({"getEpochInfo": 2}), Counter({"getEpochInfo": 1}))

    assert value(metrics, "dzbgp_passes_total", "partial") == 3
    assert value(metrics, "doublezero_bgpstatus_submissions_total", "up", "success") == 6
    assert value(metrics, "dzbgp_rpc_requests_total", "getEpochInfo") == 6
    assert value(metrics, "dzbgp_rpc_retries_total", "getEpochInfo") == 3


def test_stale_program_data_shows_its_age_until_the_ledger_answers_again() -> None:
    metrics = Metrics()
    assert value(metrics, "dzbgp_ledger_up") is None

    metrics.observe_fetch(FetchEvent(FetchResult.ERROR_STALE, 30.0, 45.0))
    assert value(metrics, "doublezero_telemetry_programdata_stale_cache_age_seconds") == 45
    assert value(metrics, "dzbgp_ledger_up") == 0

    metrics.observe_fetch(FetchEvent(FetchResult.SUCCESS, 0.4))
    assert value(metrics, "doublezero_telemetry_programdata_stale_cache_age_seconds") == 0
    assert value(metrics, "dzbgp_ledger_up") == 1
    assert value(metrics, "doublezero_telemetry_programdata_fetch_total", "error_stale") == 1
    assert value(metrics, "doublezero_telemetry_programdata_fetch_duration_seconds_count") == 2


def test_the_oldest_report_is_that_of_a_user_whose_report_is_ever_renewed() -> None:
    fresh = reported(decision(1, NYC, UP, UP, action=Action.SKIP), 1_000)
    old_but_absent = reported(
        decision(2, NYC, DOWN, None, action=Action.SKIP, observed=Observed.ABSENT, reason="absent"), 1
    )
    never = decision(3, NYC, NEVER, UP)
    unseen = reported(
        decision(4, TYO, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-answer"), 500
    )
    landed = reported(decision(5, FRA, UP, DOWN), 1)
    failed = reported(decision(6, AMS, UP, DOWN), 600)
    whole = replace(
        report(
            fresh, old_but_absent, never, unseen, landed, failed,
            submissions=(
                Submission(landed.observation.user.pubkey, Outcome.CONFIRMED),
                Submission(failed.observation.user.pubkey, Outcome.FAILED),
            ),
        ),
        slot=1_100,
        seconds_per_slot=0.5,
    )  # fmt: skip
    metrics = Metrics()
    metrics.observe_pass(whole, ExitCode.OK)

    ages = {code: value(metrics, "dzbgp_device_oldest_report_age_seconds", code)
            for code in (NYC.code, TYO.code, FRA.code, AMS.code)}  # fmt: skip
    assert ages == {NYC.code: 50.0, TYO.code: 300.0, FRA.code: 0.0, AMS.code: 250.0}


def test_damped_users_and_transitions_are_told() -> None:
    damped = decision(1, NYC, UP, DOWN, action=Action.SKIP, reason="damped")
    whole = replace(report(damped), transitions={key("user 1"): 7, key("user 2"): 1})
    metrics = Metrics()
    metrics.observe_pass(whole, ExitCode.OK)

    assert value(metrics, "dzbgp_users_damped") == 1
    assert value(metrics, "dzbgp_users_flapping") == 1
    assert value(metrics, "dzbgp_flap_transitions") == 8


def test_two_metrics_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.observe_pass(mixed(dry_run=False), ExitCode.PARTIAL)

    assert value(other, "dzbgp_passes_total", "partial") == 0


def test_whoever_scrapes_while_a_pass_ends_sees_one_pass_whole() -> None:
    metrics = Metrics()
    few = report(*(decision(n, NYC, UP, UP) for n in range(3)), devices=(reading(NYC, up=3),))
    many = report(*(decision(n, AMS, UP, UP) for n in range(9)), devices=(reading(AMS, up=9),))
    stop = threading.Event()

    def passes() -> None:
        while not stop.is_set():
            for each in (few, many):
                metrics.observe_pass(each, ExitCode.OK)

    metrics.observe_pass(few, ExitCode.OK)
    thread = threading.Thread(target=passes)
    thread.start()
    try:
        for _ in range(200):
            seen = samples(metrics)
            sessions = [count for (name, _), count in seen.items() if name == "dzbgp_device_sessions"]
            users = seen["dzbgp_users", frozenset({"up", "established"})]
            assert sessions in ([3.0], [9.0])
            assert users == sessions[0]
    finally:
        stop.set()
        thread.join()


def test_metrics_are_served_until_closed_and_then_the_port_is_free_again() -> None:
    metrics = Metrics()
    with metrics.serve("127.0.0.1:0") as server:
        metrics.observe_pass(mixed(dry_run=False), ExitCode.PARTIAL)
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            body = answer.read().decode()
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert 'dzbgp_passes_total{result="partial"} 1.0' in body
        address = server.url.removeprefix("http://").removesuffix("/metrics")
        with pytest.raises(UsageError, match="a free port"):
            metrics.serve(address)

    with metrics.serve(address) as again:
        assert again.url == server.url


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("127.0.0.1:9473", ("127.0.0.1", 9473)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_host_and_port(address: str, parsed: tuple[str, int]) -> None:
    assert parse_address(address) == parsed


@pytest.mark.parametrize(
    "address",
    [
        "",
        ":",
        "9473",
        ":9473",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "::1:9473",
        "[h]:1",
        "h:²",
    ],
)
def test_what_is_no_address_is_a_usage_error_that_shows_one(address: str) -> None:
    with pytest.raises(UsageError, match=r"expected HOST:PORT, as in 127\.0\.0\.1:9473"):
        parse_address(address)


def test_a_host_that_is_not_this_one_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"--metrics-addr 192\.0\.2\.1:9473"):
        Metrics().serve("192.0.2.1:9473")


def test_a_textfile_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "dzbgp.prom"
    file.write_text("half a line", encoding="utf-8")
    metrics = Metrics()
    metrics.observe_pass(mixed(dry_run=False), ExitCode.PARTIAL)
    metrics.write_textfile(file)

    assert file.read_bytes() == metrics.render()
    assert [path.name for path in tmp_path.iterdir()] == ["dzbgp.prom"]


def test_a_link_in_the_place_of_a_textfile_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "dzbgp.prom"
    victim.write_bytes(b"mine")
    file.symlink_to(victim)
    (metrics := Metrics()).write_textfile(file)
    assert (victim.read_bytes(), file.read_bytes()) == (b"mine", metrics.render())


def test_the_fetcher_tells_of_success_of_failure_without_a_cache_and_of_what_is_stale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    answers: list[ProgramData | LedgerError] = [
        RpcTransportError("away"),
        ProgramData(1, None, {}, {}, {}),  # type: ignore[arg-type]
        RpcTransportError("away"),
    ]

    async def fetch(*_: object, **__: object) -> ProgramData:
        now[0] += 2.0
        answer = answers.pop(0)
        if isinstance(answer, LedgerError):
            raise answer
        return answer

    monkeypatch.setattr(program_data, "fetch", fetch)
    events: list[FetchEvent] = []

    async def story() -> None:
        client = RpcClient(network("localnet", (), None, None))
        fetcher = ProgramDataFetcher(client, on_fetch=events.append, monotonic=lambda: now[0])
        with pytest.raises(LedgerError):
            await fetcher.get()
        await fetcher.get()
        await fetcher.get()
        now[0] += 60.0
        await fetcher.get()
        await client.pool.close()

    asyncio.run(story())

    assert events == [
        FetchEvent(FetchResult.ERROR_NO_CACHE, 2.0),
        FetchEvent(FetchResult.SUCCESS, 2.0),
        FetchEvent(FetchResult.ERROR_STALE, 2.0, 64.0),
    ]


def test_a_real_run_accounts_for_every_write_every_request_and_every_balance() -> None:
    whole, text = lab_run()
    found = {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    total = {name: sum(count for (each, _), count in found.items() if each == name) for name, _ in found}
    publishers = {str(item.device.metrics_publisher_pk) for item in whole.devices if item.device}
    balances = {
        next(iter(labels)): sol
        for (name, labels), sol in found.items()
        if name == "dzbgp_publisher_balance_sol"
    }

    assert len(whole.submissions) > 0
    assert total["doublezero_bgpstatus_submissions_total"] == len(whole.submissions)
    assert total["doublezero_bgpstatus_submission_duration_seconds_count"] == len(whole.submissions)
    # One more than the report knows of: the balances are asked for after it.
    assert total["dzbgp_rpc_requests_total"] == whole.rpc_requests + 1
    assert total["doublezero_telemetry_programdata_fetch_total"] == 1
    assert total["dzbgp_users"] == len(whole.decisions)
    assert balances.keys() == publishers
    assert all(9 < sol <= 10 for sol in balances.values())
