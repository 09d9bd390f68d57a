"""The lab's story: eight devices, their users, and for each user what a right first pass does about it.

Each row holds the truth, written by hand: nothing that decides in dzbgp computes it, so a test that compares
the two tests something. Keys, IP addresses and slots come from the seed, in world.py.
"""

from dataclasses import dataclass

from dzbgp.lab.eos.device import ADMIN_DOWN
from dzbgp.lab.eos.device import DeviceFault as Kind
from dzbgp.lab.eos.device import EosFault as Fault
from dzbgp.lab.world.encode import Layout
from dzbgp.models.ledger import BgpStatus, DeviceStatus, UserStatus, UserType

PUBLISHERS = ("northlight", "tidewater", "kestrel")
"""The contributors; each signs for all its devices with one key."""
TENANTS = {"solstice": 1, "meridian": 2}
"""Tenants and their vrf_id. A user without a tenant is in vrf1 too."""
VRFS = ("default", "vrf1", "vrf2")


@dataclass(frozen=True, slots=True)
class Metro:
    """Where a device is. `degrees` north and east."""

    city: str
    country: str
    degrees: tuple[float, float]


METROS = {
    "ams": Metro("Amsterdam", "NL", (52.37, 4.90)),
    "fra": Metro("Frankfurt", "DE", (50.11, 8.68)),
    "lon": Metro("London", "GB", (51.51, -0.13)),
    "nyc": Metro("New York", "US", (40.71, -74.01)),
    "chi": Metro("Chicago", "US", (41.88, -87.63)),
    "lax": Metro("Los Angeles", "US", (34.05, -118.24)),
    "tyo": Metro("Tokyo", "JP", (35.68, 139.69)),
    "sgp": Metro("Singapore", "SG", (1.35, 103.82)),
}


@dataclass(frozen=True, slots=True)
class ScenarioDevice:
    """A device of the story."""

    code: str
    contributor: str
    address: str
    port: int
    host: str = ""
    """Its name in the inventory; empty: its code."""
    matched_by: str = "name"
    """How its host is matched to it: by `name`, `code` or `pubkey` (host data dz_device), or `public_ip`."""
    status: DeviceStatus = DeviceStatus.ACTIVATED
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Onchain:
    """What the account says before the first pass."""

    status: BgpStatus
    fresh: bool = True
    """Reported within the refresh interval of 6 h, with a wide margin to either side."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the device says."""

    state: str
    rtt_us: int | None = None
    idle_reason: str = ""
    established_s: float | None = None
    """None: for days."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a first pass with a refresh interval of 6 h writes; `expect` None: nothing."""

    expect: BgpStatus | None
    reason: str
    rtt_ns: int = 0


@dataclass(frozen=True, slots=True)
class ScenarioUser:
    """A user of the story. `session` None: the device has no such neighbor."""

    device: str
    tunnel_id: int
    user_type: UserType
    onchain: Onchain
    session: Session | None
    truth: Truth
    tenant: str = ""
    status: UserStatus = UserStatus.ACTIVATED
    layout: Layout = Layout.CURRENT
    client_of: int | None = None
    """The tunnel_id, on this device, of another user with the same client_ip."""
    overlaps: int | None = None
    """The tunnel_id, on this device, of another user with the same tunnel_net."""


def up(rtt_us: int, established_s: float | None = None) -> Session:
    """An Established session."""
    return Session("Established", rtt_us, established_s=established_s)


def write_up(reason: str, rtt_ns: int) -> Truth:
    """Up is to be written."""
    return Truth(BgpStatus.UP, reason, rtt_ns)


def write_down(reason: str) -> Truth:
    """Down is to be written, with RTT 0 as always."""
    return Truth(BgpStatus.DOWN, reason)


def leave(reason: str) -> Truth:
    """Nothing is to be written."""
    return Truth(None, reason)


IBRL, ALLOCATED, MULTICAST = UserType.IBRL, UserType.IBRL_WITH_ALLOCATED_IP, UserType.MULTICAST
NEVER = Onchain(BgpStatus.UNKNOWN)
UP, UP_STALE = Onchain(BgpStatus.UP), Onchain(BgpStatus.UP, fresh=False)
DOWN, DOWN_STALE = Onchain(BgpStatus.DOWN), Onchain(BgpStatus.DOWN, fresh=False)
UP_NO_RTT = Session("Established")
IDLE, ACTIVE, CONNECT = Session("Idle"), Session("Active"), Session("Connect")
# TCP is up in these two, with an RTT, and the session is not.
OPEN_SENT, OPEN_CONFIRM = Session("OpenSent", 5_000), Session("OpenConfirm", 5_100)
SHUT = Session("Idle", idle_reason=ADMIN_DOWN)
GONE = None

NORTH, TIDE, KESTREL = PUBLISHERS
DEVICES = (
    ScenarioDevice("ams-dz-001", NORTH, "127.101.1.1", 8443),
    ScenarioDevice("fra-dz-001", NORTH, "127.101.2.1", 8443, host="frankfurt-1", matched_by="public_ip"),
    ScenarioDevice("lon-dz-001", NORTH, "127.101.3.1", 8443, status=DeviceStatus.DRAINED),
    # Three devices behind one address, told apart by nothing but the port.
    ScenarioDevice("nyc-dz-001", TIDE, "127.101.4.1", 8443),
    ScenarioDevice("chi-dz-001", TIDE, "127.101.4.1", 9443, host="chicago-1", matched_by="pubkey"),
    ScenarioDevice("lax-dz-001", TIDE, "127.101.4.1", 10443, host="los-angeles-1", matched_by="code"),
    ScenarioDevice("tyo-dz-001", KESTREL, "127.101.5.1", 8443, fault=Fault(Kind.NO_ANSWER)),
    ScenarioDevice("sgp-dz-001", KESTREL, "127.101.6.1", 8443, fault=Fault(Kind.EMPTY)),
)

U = ScenarioUser
AMS, FRA, LON, NYC, CHI, LAX, TYO, SGP = (row.code for row in DEVICES)
USERS = (
    # A healthy device with a bit of everything.
    U(AMS, 500, IBRL, UP, up(1_840), leave("unchanged")),
    U(AMS, 501, IBRL, NEVER, up(2_210), write_up("first-report", 2_210_000)),
    U(AMS, 502, IBRL, DOWN, up(950), write_up("changed", 950_000)),
    U(AMS, 503, IBRL, UP_STALE, up(4_287), write_up("refresh", 4_287_000)),
    U(AMS, 504, ALLOCATED, UP, ACTIVE, write_down("changed")),
    U(AMS, 505, ALLOCATED, DOWN, CONNECT, leave("unchanged")),
    U(AMS, 506, IBRL, DOWN_STALE, IDLE, write_down("refresh")),
    # The tunnel is gone: that is news only while the chain says Up.
    U(AMS, 507, IBRL, UP, GONE, write_down("changed")),
    U(AMS, 508, IBRL, DOWN, GONE, leave("absent")),
    U(AMS, 509, IBRL, NEVER, GONE, leave("absent")),
    U(AMS, 510, MULTICAST, UP_STALE, up(700), write_up("refresh", 700_000)),
    # The same client twice, as IBRL (500) and as multicast user, with a tunnel each.
    U(AMS, 511, MULTICAST, NEVER, up(1_130), write_up("first-report", 1_130_000), client_of=500),
    U(AMS, 512, IBRL, UP_STALE, GONE, leave("not-activated"), status=UserStatus.BANNED),
    # Still configured, still Established, and not to be written.
    U(AMS, 513, IBRL, DOWN, up(1_500), leave("not-activated"), status=UserStatus.DELETING),
    U(
        AMS,
        514,
        IBRL,
        NEVER,
        up(3_020),
        write_up("first-report", 3_020_000),
        "meridian",
        layout=Layout.OLDEST,
    ),
    U(AMS, 515, IBRL, UP, SHUT, write_down("changed")),
    # Tenants in two VRFs, and two users with one tunnel_net.
    U(FRA, 500, IBRL, UP, up(6_105), leave("unchanged")),
    U(FRA, 501, IBRL, DOWN, up(5_500), write_up("changed", 5_500_000), "solstice"),
    U(FRA, 502, IBRL, UP, OPEN_SENT, write_down("changed"), "meridian"),
    U(FRA, 503, IBRL, NEVER, OPEN_CONFIRM, write_down("first-report"), "meridian", layout=Layout.WITHOUT_BGP),
    U(FRA, 504, IBRL, UP_STALE, UP_NO_RTT, write_up("refresh", 0), "meridian", layout=Layout.ZERO_FEEDS),
    U(FRA, 505, IBRL, DOWN, up(8_000), leave("ambiguous")),
    U(FRA, 506, IBRL, UP, GONE, leave("ambiguous"), overlaps=505),
    U(FRA, 507, ALLOCATED, NEVER, up(7_777), write_up("first-report", 7_777_000), layout=Layout.WITHOUT_BGP),
    U(FRA, 508, MULTICAST, DOWN_STALE, up(6_400), write_up("changed", 6_400_000), layout=Layout.WITHOUT_RTT),
    U(FRA, 509, IBRL, DOWN, GONE, leave("not-activated"), status=UserStatus.SUSPENDED),
    U(FRA, 510, IBRL, UP, ACTIVE, leave("not-activated"), status=UserStatus.OUT_OF_CREDITS),
    # It bounced a moment ago, between two reports.
    U(FRA, 511, IBRL, UP, up(5_990, established_s=40), leave("unchanged")),
    # A drained device: every user's neighbor is shut, which is a true Down.
    U(LON, 500, IBRL, UP, SHUT, write_down("changed")),
    U(LON, 501, ALLOCATED, UP, SHUT, write_down("changed")),
    U(LON, 502, IBRL, UP_STALE, SHUT, write_down("changed")),
    U(LON, 503, MULTICAST, UP, SHUT, write_down("changed")),
    U(LON, 504, IBRL, DOWN, SHUT, leave("unchanged")),
    U(LON, 505, IBRL, DOWN_STALE, SHUT, write_down("refresh")),
    U(LON, 506, IBRL, NEVER, SHUT, write_down("first-report")),
    U(LON, 507, IBRL, UP, SHUT, write_down("changed"), "meridian"),
    # Behind one address: read on the wrong port, most of these would look absent.
    U(NYC, 500, IBRL, UP, up(11_020), leave("unchanged")),
    U(NYC, 501, IBRL, UP_STALE, up(11_480), write_up("refresh", 11_480_000)),
    U(NYC, 502, IBRL, NEVER, up(10_900), write_up("first-report", 10_900_000)),
    U(NYC, 503, IBRL, DOWN, up(12_345), write_up("changed", 12_345_000)),
    U(NYC, 504, IBRL, UP, IDLE, write_down("changed")),
    U(NYC, 505, MULTICAST, UP, up(9_870), leave("unchanged"), "meridian"),
    U(NYC, 506, ALLOCATED, DOWN_STALE, up(13_131), write_up("changed", 13_131_000)),
    U(NYC, 507, IBRL, UP_STALE, up(14_000), write_up("refresh", 14_000_000), "meridian"),
    U(NYC, 508, IBRL, DOWN, up(11_111), leave("not-activated"), status=UserStatus.BANNED),
    U(CHI, 500, IBRL, NEVER, up(20_500), write_up("first-report", 20_500_000)),
    U(CHI, 501, IBRL, UP, up(21_300), leave("unchanged")),
    U(CHI, 502, ALLOCATED, NEVER, CONNECT, write_down("first-report"), layout=Layout.OLDEST),
    U(CHI, 503, IBRL, DOWN, ACTIVE, leave("unchanged")),
    U(CHI, 504, IBRL, UP, UP_NO_RTT, leave("unchanged")),
    U(CHI, 505, IBRL, DOWN, UP_NO_RTT, write_up("changed", 0)),
    U(CHI, 506, MULTICAST, DOWN, OPEN_SENT, leave("unchanged")),
    U(CHI, 507, IBRL, UP_STALE, up(22_800), write_up("refresh", 22_800_000), layout=Layout.WITHOUT_FEEDS),
    U(CHI, 508, IBRL, NEVER, GONE, leave("not-activated"), status=UserStatus.DELETING),
    U(LAX, 500, IBRL, UP_STALE, up(33_333), write_up("refresh", 33_333_000)),
    U(LAX, 501, IBRL, DOWN, up(30_000), write_up("changed", 30_000_000)),
    U(LAX, 502, IBRL, UP, ACTIVE, write_down("changed")),
    U(LAX, 503, IBRL, UP, up(31_870), leave("unchanged")),
    U(LAX, 504, IBRL, NEVER, ACTIVE, write_down("first-report")),
    U(LAX, 505, MULTICAST, NEVER, up(29_640), write_up("first-report", 29_640_000)),
    U(LAX, 506, ALLOCATED, UP, up(35_002), leave("unchanged")),
    U(LAX, 507, IBRL, UP_STALE, GONE, write_down("changed"), "solstice"),
    # This one never answers, so the state of its users is unknown.
    U(TYO, 500, IBRL, UP, up(2_000), leave("no-answer")),
    U(TYO, 501, IBRL, UP_STALE, up(2_100), leave("no-answer")),
    U(TYO, 502, IBRL, NEVER, up(2_200), leave("no-answer")),
    U(TYO, 503, IBRL, DOWN, up(2_300), leave("no-answer")),
    U(TYO, 504, ALLOCATED, UP, ACTIVE, leave("no-answer")),
    U(TYO, 505, MULTICAST, UP_STALE, up(2_500), leave("no-answer")),
    # Its BGP agent restarts: an answer without a single VRF, which says nothing about anybody.
    U(SGP, 500, IBRL, UP, up(3_000), leave("suspect-device")),
    U(SGP, 501, IBRL, UP_STALE, up(3_100), leave("suspect-device")),
    U(SGP, 502, IBRL, NEVER, up(3_200), leave("suspect-device")),
    U(SGP, 503, IBRL, DOWN_STALE, up(3_300), leave("suspect-device")),
    U(SGP, 504, MULTICAST, UP, up(3_400), leave("suspect-device")),
    U(SGP, 505, IBRL, UP, up(3_500), leave("not-activated"), status=UserStatus.BANNED),
)
