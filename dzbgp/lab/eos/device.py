"""What a simulated Arista device is made of: its BGP neighbors, its VRFs, and what may be wrong with it."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

LOCAL_ASN = 65342
"""The network's own AS: the devices' side of every session."""
USER_ASN = 65000
"""The AS of every user's side."""
ADMIN_DOWN = "Administratively shut down"
"""EOS's idleReason of a neighbor that was shut in the configuration."""
STATES = ("Established", "Idle", "Active", "Connect", "OpenSent", "OpenConfirm")


class DeviceFault(StrEnum):
    """What a device can be made to do instead of answering."""

    NO_ANSWER = "no_answer"
    """Accepts the connection and the request, and never answers."""
    REFUSE = "refuse"
    """Nothing listens."""
    SLOW = "slow"
    """Answers rightly, `delay_s` late."""
    BAD_PASSWORD = "bad_password"  # noqa: S105 - a fault's name
    """HTTP 401, whatever the password."""
    REFUSED_COMMAND = "refused_command"
    """The BGP commands are answered with eAPI error 1002."""
    HTTP_500 = "http_500"
    """HTTP 500 with a text body."""
    GARBAGE = "garbage"
    """HTTP 200 with a body that is not JSON."""
    EMPTY = "empty"
    """{"vrfs": {}} to every BGP command, as a restarting BGP agent answers."""
    HANGUP = "hangup"
    """Closes the connection instead of answering."""
    TRUNCATED = "truncated"
    """Closes the connection in the middle of the answer's body."""
    ODD_NEIGHBOR = "odd_neighbor"
    """One neighbor more, which has no state: NAPALM's get_bgp_neighbors raises KeyError."""
    WRONG_IDENTITY = "wrong_identity"
    """Another device answers: the router-ids are `router_id`."""
    MISSING_VRF = "missing_vrf"
    """The VRF `vrf` is not shown."""


@dataclass(frozen=True, slots=True)
class EosFault:
    """A fault of a device, in force until it is taken back."""

    kind: DeviceFault
    delay_s: float = 2.0
    router_id: str = "192.0.2.250"
    vrf: str = "vrf1"


@dataclass(slots=True)
class EosPeer:
    """A BGP neighbor as configured on a device, and the state of its session."""

    address: str
    asn: int
    vrf: str
    """EOS's own name: the default VRF is `default`."""
    state: str = "Established"
    description: str = ""
    idle_reason: str = ""
    """Only shown while Idle; empty: EOS gives "No path to peer" here."""
    established_s: float = 86_400.0
    """Seconds that the session was Established for when this was made or last changed; it ages from there."""
    rtt_us: int | None = 12_000
    """The TCP connection's smoothed RTT in microseconds; None: EOS gives no peerTcpInfo."""
    transitions: int = 1
    """How often the session ever became Established."""
    interface: str = ""
    changed_at: float = field(default_factory=time.monotonic, compare=False, repr=False)
    """time.monotonic() of the last change."""

    def uptime_s(self) -> int:
        """For how long the session is Established now, in whole seconds."""
        return int(self.established_s + time.monotonic() - self.changed_at)


@dataclass(slots=True)
class EosDevice:
    """A device: where it listens, who may log in, and its BGP configuration.

    While a fleet runs it, change it through the fleet only: the fleet's thread reads it and keeps what it has
    serialised.
    """

    code: str
    address: str
    """The IPv4 address to listen on, normally one in 127.0.0.0/8."""
    port: int
    """0: a free port, which stands here once the fleet has started."""
    username: str
    password: str = field(repr=False)
    router_id: str
    """The router-id of all VRFs but the default one: the device's public_ip onchain."""
    peers: list[EosPeer] = field(default_factory=list)
    vrfs: tuple[str, ...] = ("default", "vrf1")
    """The VRFs that run BGP; they are shown even without a neighbor."""
    fault: EosFault | None = None
    loopback: str = "10.0.0.1"
    """The router-id of the default VRF."""
    eos_version: str = "4.31.2F"
    model: str = "DCS-7280CR3A-32S"

    def peer(self, address: str) -> EosPeer:
        """Return the neighbor with `address`. Raises KeyError when there is none."""
        for peer in self.peers:
            if peer.address == address:
                return peer
        raise KeyError(f"{self.code} has no neighbor {address}")
