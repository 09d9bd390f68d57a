"""Reports put together by hand: the smallest that mean something, and one with a bit of everything."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from solders.pubkey import Pubkey
from solders.signature import Signature

from dzbgp.models.decision import Action, Decision
from dzbgp.models.ledger import (
    BgpStatus,
    CyoaType,
    Device,
    DeviceStatus,
    DeviceType,
    Net,
    User,
    UserStatus,
    UserType,
    dotted,
)
from dzbgp.models.report import Report
from dzbgp.models.session import DeviceReading, DeviceResult, Neighbor, Observation, Observed
from dzbgp.models.submission import Outcome, Submission

UP, DOWN, NEVER = BgpStatus.UP, BgpStatus.DOWN, BgpStatus.UNKNOWN


def key(name: str) -> Pubkey:
    return Pubkey.from_bytes(sha256(name.encode(errors="surrogatepass")).digest())


def signature(number: int) -> str:
    half = sha256(f"signature {number}".encode()).digest()
    # A first byte this high always makes 88 base58 characters, the longest form.
    return str(Signature.from_bytes(b"\xff" + half[1:] + half))


def device(code: str) -> Device:
    return Device(
        pubkey=key(code),
        owner=key("owner"),
        location_pk=key("location"),
        exchange_pk=key("exchange"),
        device_type=DeviceType.HYBRID,
        public_ip="192.0.2.1",
        status=DeviceStatus.ACTIVATED,
        code=code,
        dz_prefixes=(),
        metrics_publisher_pk=key("publisher"),
        contributor_pk=key("contributor"),
        mgmt_vrf="default",
    )


def user(number: int, on: Device, onchain: BgpStatus) -> User:
    return User(
        pubkey=key(f"user {number}"),
        owner=key("owner"),
        index=number,
        bump_seed=255,
        user_type=UserType.IBRL_WITH_ALLOCATED_IP,
        tenant_pk=Pubkey.default(),
        device_pk=on.pubkey,
        cyoa_type=CyoaType.GRE_OVER_DIA,
        client_ip=dotted(0xCB007100 + number % 256),
        dz_ip="10.0.0.1",
        tunnel_id=500 + number,
        tunnel_net=Net(0xA9FE0000 + 2 * number, 31),
        status=UserStatus.ACTIVATED,
        publishers=(),
        subscribers=(),
        validator_pubkey=Pubkey.default(),
        tunnel_endpoint="192.0.2.1",
        tunnel_flags=0,
        bgp_status=onchain,
        last_bgp_up_at=0,
        last_bgp_reported_at=0,
        bgp_rtt_ns=0,
        feed_pks=(),
        data_len=300,
        lamports=1,
    )


def decision(
    number: int,
    on: Device,
    onchain: BgpStatus,
    status: BgpStatus | None,
    *,
    action: Action = Action.SUBMIT,
    observed: Observed | None = None,
    reason: str = "changed",
    detail: str = "",
    why: str = "",
    rtt_ns: int = 0,
) -> Decision:
    """A decision about user `number`; what was seen follows from `status` where it is not given."""
    if observed is None:
        observed = Observed.ESTABLISHED if status is UP else Observed.NOT_ESTABLISHED
    subject = user(number, on, onchain)
    peer_ip = dotted(subject.tunnel_net.address + 1)
    state = "is Established" if observed is Observed.ESTABLISHED else "in vrf1 is not Established"
    sentence = detail or f"Neighbor {peer_ip} {state}; onchain it is {onchain.label}."
    observation = Observation(subject, on, on.code, observed, "vrf1", peer_ip, why)
    return Decision(observation, action, status, reason, sentence, rtt_ns)


def reading(on: Device, *, up: int = 0, down: int = 0) -> DeviceReading:
    neighbors = tuple(
        Neighbor(f"169.254.9.{number}", "vrf1", number < up, is_enabled=True, uptime_s=60)
        for number in range(up + down)
    )
    return DeviceReading(on.code, DeviceResult.OK, on, neighbors=neighbors)


def report(
    *decisions: Decision,
    devices: tuple[DeviceReading, ...] = (),
    submissions: tuple[Submission, ...] = (),
    dry_run: bool = True,
    notes: tuple[str, ...] = (),
) -> Report:
    return Report(
        dry_run=dry_run,
        env="testnet",
        program_id=str(key("program")),
        slot=312_345_678,
        started_at=datetime(2026, 3, 1, 12, 0, 5, 999_000, tzinfo=UTC),
        duration_s=3.4567,
        devices=devices,
        decisions=decisions,
        submissions={submission.user: submission for submission in submissions},
        transactions=len({submission.signature for submission in submissions if submission.signature}),
        rpc_requests=9,
        notes=notes,
    )


NYC, AMS, FRA, TYO = (device(code) for code in ("nyc-dz01", "ams-dz002", "fra-dz01", "tyo-dz01"))


def mixed(*, dry_run: bool) -> Report:
    """Changes, something held, unchanged users, a failed and a suspect device, an unmatched host."""
    changes = (
        decision(1, NYC, DOWN, UP, rtt_ns=5_500_000),
        decision(2, NYC, UP, DOWN),
        decision(3, AMS, NEVER, UP, reason="first-report", rtt_ns=182_410_000,
                 detail="Neighbor 169.254.0.7 is Established; nothing was ever reported onchain."),
        decision(4, AMS, UP, UP, reason="refresh",
                 detail="Neighbor 169.254.0.9 is Established; the last report is 7.3 h old."),
        decision(5, NYC, UP, DOWN, observed=Observed.ABSENT,
                 detail="nyc-dz01 has no neighbor in 169.254.0.10/31; onchain it is up."),
    )  # fmt: skip
    held = tuple(
        decision(
            number,
            AMS,
            UP,
            DOWN,
            action=Action.HOLD,
            reason="guard",
            detail="45 of the 60 users that are Up onchain (75 %) would turn Down; the limit is 30 %.",
        )
        for number in (20, 21)
    )
    calm = tuple(
        decision(number, NYC, UP, UP, action=Action.SKIP, reason="unchanged") for number in range(30, 33)
    )
    unknown = (
        decision(40, FRA, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-answer",
                 detail="Unknown state: fra-dz01 gave no credible answer: no answer within 30 s."),
        decision(41, FRA, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="no-answer",
                 detail="Unknown state: fra-dz01 gave no credible answer: no answer within 30 s."),
        decision(42, NYC, UP, None, action=Action.SKIP, observed=Observed.UNKNOWN, reason="ambiguous",
                 detail="Unknown state: its tunnel net overlaps another.",
                 why=f"its tunnel net 169.254.0.84/31 overlaps 169.254.0.84/30 of user {key('user 43')}"),
    )  # fmt: skip
    submissions = () if dry_run else (
        Submission(changes[0].observation.user.pubkey, Outcome.CONFIRMED, signature(1), slot=7),
        Submission(changes[1].observation.user.pubkey, Outcome.CONFIRMED, signature(1), slot=7),
        Submission(changes[2].observation.user.pubkey, Outcome.FINALIZED, signature(2), slot=7),
        Submission(changes[3].observation.user.pubkey, Outcome.PENDING, signature(3)),
        Submission(changes[4].observation.user.pubkey, Outcome.FAILED,
                   error="the program refused it: Custom(8), NotAllowed [not the metrics publisher]"),
    )  # fmt: skip
    return report(
        *calm, *unknown, *changes, *held,
        devices=(
            reading(NYC, up=4, down=1),
            reading(AMS, up=2, down=2),
            DeviceReading("fra-dz01", DeviceResult.FAILED, FRA, "no answer within 30 s"),
            DeviceReading(
                "tokyo-1", DeviceResult.SUSPECT, TYO,
                "it is another device: router-id 192.0.2.9 in vrf1, but tyo-dz01 has the public_ip 192.0.2.1 "
                "(--no-identity-check for fleets that differ)",
            ),
            DeviceReading("spare-1", DeviceResult.UNMATCHED, error="no device on the ledger matches it"),
        ),
        submissions=submissions,
        dry_run=dry_run,
        notes=("2 accounts could not be read and were skipped.",),
    )  # fmt: skip


def fleet_of_changes(number: int) -> Report:
    """One device and `number` users that turn Down in one transaction each hundred."""
    decisions = tuple(decision(index, NYC, UP, DOWN) for index in range(number))
    submissions = tuple(
        Submission(item.observation.user.pubkey, Outcome.CONFIRMED, signature(index // 100))
        for index, item in enumerate(decisions)
    )
    whole = report(*decisions, devices=(reading(NYC),), submissions=submissions, dry_run=False)
    return replace(whole, duration_s=60.0)
