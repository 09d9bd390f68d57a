"""An option is declared once, and arrives as the field that declares it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dzbgp.cli.options import every_command, takes
from dzbgp.cli.own_options import AuditOutput, LogFormat, Logging, ReportOptions
from dzbgp.console.option import HOSTS, TUNING, duration, number, option, repeated, share, spelled_duration
from dzbgp.console.words import parse_duration
from dzbgp.decision.rules import Rules
from dzbgp.diagnostics.audit.request import AuditRequest
from dzbgp.errors import UsageError
from dzbgp.fleet.options import NetworkRequest, Runner
from dzbgp.fleet.shard import Shard
from dzbgp.listing.query import DeviceQuery, UserQuery
from dzbgp.run.request import Commitment, RunRequest, SetupRequest, WatchRequest


def arrived(
    carrier: type,
    *args: str,
    env: dict[str, str] | None = None,
    configured: dict[str, Any] | None = None,
) -> Any:
    """What a command that takes `carrier` is called with."""
    app, got = typer.Typer(), []

    @app.command()
    @takes(carrier)
    def command(request: Any) -> None:
        got.append(request)

    done = CliRunner().invoke(app, args, env=env, default_map=configured or {}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return got[0]


@pytest.mark.parametrize(
    "carrier",
    [
        NetworkRequest,
        SetupRequest,
        RunRequest,
        WatchRequest,
        AuditRequest,
        UserQuery,
        DeviceQuery,
        Rules,
        Logging,
        ReportOptions,
    ],
)
def test_what_is_not_given_has_the_default_of_the_declaration(carrier: type) -> None:
    assert arrived(carrier) == carrier()


def test_what_is_given_arrives_in_the_field_that_declares_it() -> None:
    text = (
        "--inventory inv --limit a,b --filter metro=ams --filter x=y=z --group g --contributor c,d --shard 2/4 "
        "--workers 3 --runner dask --scheduler tls://h:1 --device-timeout 1m --no-identity-check "
        "--no-tls-verify --env testnet --rpc-url http://a --rpc-url http://b --program-id p --max-ledger-lag 5s "
        "--genesis-hash h --keypair k1 --keypair k2 "
        "--low-balance 1.5 --state s --commitment finalized --priority-fee 7 --no-verify --submit-timeout 2m --dry-run "
        "--confirm-down 0s --refresh-interval 1h --refresh-spread 10% --down-grace-period 30s --max-age 90s "
        "--max-down 0.5 --max-down-min 2 --guard-passes 4 --guard-spacing 2m --guard-window 2h --force --take-over "
        "--flap-limit 3 --flap-window 10m --cooldown 5m"
    )
    assert arrived(RunRequest, *text.split()) == RunRequest(
        inventory=Path("inv"),
        limit=("a", "b"),
        filters=(("metro", "ams"), ("x", "y=z")),
        groups=("g",),
        contributor=("c", "d"),
        shard=Shard(2, 4),
        workers=3,
        runner=Runner.DASK,
        scheduler="tls://h:1",
        device_timeout_s=60,
        identity_check=False,
        tls_verify=False,
        env="testnet",
        rpc_urls=("http://a", "http://b"),
        program_id="p",
        max_ledger_lag_s=5,
        genesis_hash="h",
        keypairs=(Path("k1"), Path("k2")),
        low_balance_sol=1.5,
        state=Path("s"),
        commitment=Commitment.FINALIZED,
        priority_fee=7,
        verify=False,
        submit_timeout_s=120,
        dry_run=True,
        confirm_down_s=0,
        max_age_s=90,
        rules=Rules(
            refresh_interval_s=3600,
            refresh_spread=0.1,
            down_grace_period_s=30,
            max_down=0.5,
            max_down_min=2,
            guard_passes=4,
            guard_spacing_s=120,
            guard_window_s=7200,
            force=True,
            take_over=True,
            flap_limit=3,
            flap_window_s=600,
            cooldown_s=300,
        ),
    )


@dataclass(frozen=True)
class Inner:
    patience_s: float = duration(90, TUNING, "How long.")


@dataclass(frozen=True)
class Outer:
    size: int = number(2, HOSTS, "How many.", least=1)
    part: float = share(0.25, HOSTS, "How much.")
    paths: tuple[Path, ...] = repeated(HOSTS, "Where.", "path", "PATH")
    is_kept: bool = option(False, HOSTS, "Whether.", name="keep")
    inner: Inner = field(default_factory=Inner)


def test_a_new_field_is_an_option_a_variable_and_a_key_without_another_line() -> None:
    configured = {"size": "4", "patience_s": "3s"}
    env = {"DZBGP_SIZE": "5", "DZBGP_PATH": "a:b c"}
    assert arrived(Outer, "--size", "6", env=env, configured=configured) == Outer(
        6, 0.25, (Path("a"), Path("b c")), inner=Inner(3)
    )
    assert arrived(Outer, env=env, configured=configured).size == 5
    assert arrived(Outer, "--keep", configured=configured) == Outer(4, is_kept=True, inner=Inner(3))


@pytest.mark.parametrize("given", ["New York", "New York,Los Angeles"])
def test_a_list_of_names_is_split_at_commas_only_wherever_it_is_given(given: str) -> None:
    expected = tuple(given.split(","))
    assert arrived(DeviceQuery, "--location", given).location == expected
    assert arrived(DeviceQuery, env={"DZBGP_LOCATION": given}).location == expected
    assert arrived(DeviceQuery, configured={"location": [given]}).location == expected


@pytest.mark.parametrize(
    ("carrier", "variable", "given", "field", "expected"),
    [
        (ReportOptions, "OUTPUT", "json", "outputs", ("json",)),
        (ReportOptions, "OUTPUT", "markdown=/tmp/my report.md", "outputs", ("markdown=/tmp/my report.md",)),
        (ReportOptions, "OUTPUT", "json, html=a, b.html,tsv,", "outputs", ("json", "html=a, b.html", "tsv")),
        (ReportOptions, "OUTPUT", "json=the json\nhtml=a\r\n", "outputs", ("json=the json", "html=a")),
        (ReportOptions, "OUTPUT", " ", "outputs", ()),
        (AuditOutput, "FINDINGS_OUTPUT", "junit=a b,table", "outputs", ("junit=a b", "table")),
        (RunRequest, "FILTER", "site=New York", "filters", (("site", "New York"),)),
        (RunRequest, "FILTER", "a__in=x,y,b!=z w", "filters", (("a__in", "x,y"), ("b!", "z w"))),
        (RunRequest, "FILTER", "a=x, y\nb=z", "filters", (("a", "x, y"), ("b", "z"))),
        (RunRequest, "RPC_URL", "https://a/?k=1,2", "rpc_urls", ("https://a/?k=1,2",)),
        (RunRequest, "RPC_URL", "https://a/T,http://b", "rpc_urls", ("https://a/T", "http://b")),
        (RunRequest, "RPC_URL", " https://a  http://b\n", "rpc_urls", ("https://a", "http://b")),
    ],
)
def test_the_values_in_a_variable_are_separated_where_the_next_one_begins(
    carrier: type, variable: str, given: str, field: str, expected: tuple[Any, ...]
) -> None:
    assert getattr(arrived(carrier, env={f"DZBGP_{variable}": given}), field) == expected


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--rpc-url", "it is empty; expected a URL"),
        ("--scheduler", "it is empty; expected an ADDRESS"),
        ("--state", "it is empty; expected a path"),
    ],
)
def test_an_empty_text_is_not_as_if_the_option_was_not_given(option: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"^{option}: {told}$"):
        arrived(RunRequest, option, "")


def test_no_variable_of_texts_is_split_at_blanks_by_default() -> None:
    repeatable = [one for every in every_command().values() for one in every if one.option.is_repeatable]
    assert {one.name for one in repeatable if one.option.split is None} == {"keypair"}


def test_a_default_is_shown_as_people_write_it() -> None:
    app = typer.Typer()

    @app.command()
    @takes(Outer)
    def command(_: Outer) -> None: ...

    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert "[default: 90s]" in shown
    assert "[default: 25%]" in shown


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--size", "0"], "invalid number '0': expected a whole number, 1 or more"),
        (["--size", "1e3"], "invalid number '1e3'"),
        (["--part", "130%"], "invalid share '130%': expected for example 30% or 0.3"),
        (["--part", "nan"], "invalid share 'nan'"),
        (["--patience", "soon"], "invalid duration 'soon'"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_was_expected(args: list[str], told: str) -> None:
    app = typer.Typer()

    @app.command()
    @takes(Outer)
    def command(_: Outer) -> None: ...

    done = CliRunner().invoke(app, args, env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 2
    assert told in done.output


def test_mentions_are_counted_and_short_names_work() -> None:
    wanted = arrived(Logging, "-vv", "-q", "--log-format", "json")
    assert wanted == Logging(verbose=2, quiet=True, log_format=LogFormat.JSON)


@given(st.integers(0, 10**8).map(float) | st.integers(0, 999).map(lambda number: number / 1000))
def test_a_duration_is_spelled_as_it_is_read(seconds: float) -> None:
    assert parse_duration(spelled_duration(seconds)) == pytest.approx(seconds)
