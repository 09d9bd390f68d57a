"""A switch of FRR with its users' BIRDs, configured as DoubleZero's template configures a device.

The switch's default VRF is the sandbox's own network namespace; every other VRF is a namespace of its own, as FRR
does it where the kernel has no VRF device. A user is a namespace with one BIRD, joined by a veth with the tunnel's
/31 in place of the tunnel.
"""

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox import Sandbox
from waiting import until

from dzbgp.lab.eos.device import LOCAL_ASN, USER_ASN

VRFS = ("vrf1", "vrf2")
LOOPBACK = "10.66.0.1"
_SEPARATOR = "==="

# zebra takes every name in /run/netns for a VRF's, so it must not see the users' there.
_START = """
unshare --mount sh -euc '
  mount --rbind /run/vrfs /run/netns
  frr="--vty_socket /run/frr -z /run/frr/zserv.api -P 0 -d"
  /usr/lib/frr/zebra -n $frr -f /run/zebra.conf -i /run/frr/zebra.pid
  /usr/lib/frr/bgpd $frr -f /run/bgpd.conf -i /run/frr/bgpd.pid
'
"""
_RESTART = """
nsenter --mount=/proc/$(cat /run/frr/zebra.pid)/ns/mnt \\
  /usr/lib/frr/bgpd --vty_socket /run/frr -z /run/frr/zserv.api -P 0 -d -f /run/bgpd.conf -i /run/frr/bgpd.pid
"""
_STATE = f"""
vtysh -c 'show bgp vrfs json'
echo {_SEPARATOR}
vtysh -c 'show bgp vrf all neighbors json'
echo {_SEPARATOR}
for vrf in {" ".join(VRFS)}; do nsenter --net=/run/netns/$vrf ss -Htin state established sport = 179; done
ss -Htin state established sport = 179
"""
_PEER_OF_SS = re.compile(r":179\s+(?P<peer>[0-9.]+):\d+.*?\srtt:(?P<rtt>[0-9.]+)/", re.DOTALL)


@dataclass(frozen=True)
class Tunnel:
    """A user, or whoever else has a session with the switch."""

    peer: str
    """The neighbor's address: the odd one of the /31."""
    vrf: str
    description: str = ""
    remote_asn: int = USER_ASN
    """What the switch expects."""
    asn: int = USER_ASN
    """What the neighbor says."""

    @property
    def name(self) -> str:
        """Of the namespace and of the switch's interface: at most 15 characters."""
        return f"t{int(ipaddress.IPv4Address(self.peer)):08x}"

    @property
    def here(self) -> str:
        """The switch's address."""
        return str(ipaddress.IPv4Address(self.peer) - 1)


@dataclass(frozen=True)
class Live:
    """What the switch says at one moment."""

    router_ids: dict[str, str]
    """By VRF; empty when BGP does not run."""
    neighbors: dict[str, dict[str, Any]]
    """FRR's JSON, by VRF and address."""
    rtts: dict[str, float] = field(default_factory=dict)
    """The kernel's smoothed RTT in microseconds, by the neighbor's address."""

    def state(self, peer: str) -> str | None:
        """The session's state as FRR calls it; None: no such neighbor."""
        for neighbors in self.neighbors.values():
            if peer in neighbors:
                return str(neighbors[peer]["bgpState"])
        return None


class Switch:
    """A running switch. Made by `started_switch`."""

    def __init__(self, sandbox: Sandbox, router_id: str, tunnels: Iterable[Tunnel]) -> None:
        self.router_id = router_id
        self.tunnels = {tunnel.peer: tunnel for tunnel in tunnels}
        self._sandbox = sandbox
        self._dead: set[str] = set()
        self._shut: set[str] = set()
        self._removed: set[str] = set()
        self._bgp_runs = True

    def start(self) -> None:
        self._sandbox.run("\n".join(self._wiring()))
        self._sandbox.write(
            "/run/zebra.conf", "".join(f"vrf {vrf}\n netns {vrf}\nexit-vrf\n" for vrf in VRFS)
        )
        self._configure()
        self._sandbox.run(_START)
        self.revive(*self.tunnels)

    def _wiring(self) -> Iterator[str]:
        yield "mkdir /run/vrfs"
        for vrf in VRFS:
            yield f"ip netns add {vrf}; touch /run/vrfs/{vrf}; mount --bind /run/netns/{vrf} /run/vrfs/{vrf}"
            yield f"ip -n {vrf} link set lo up"
        for tunnel in self.tunnels.values():
            end = user = tunnel.name
            into = f"ip -n {tunnel.vrf}" if tunnel.vrf != "default" else "ip"
            yield f"ip netns add {user}"
            yield f"{into} link add {end} type veth peer name tunnel netns {user}"
            yield f"{into} addr add {tunnel.here}/31 dev {end}; {into} link set {end} up"
            yield f"ip -n {user} addr add {tunnel.peer}/31 dev tunnel; ip -n {user} link set tunnel up"

    def _configure(self) -> None:
        lines = []
        for vrf in ("default", *VRFS):
            lines.append(f"router bgp {LOCAL_ASN}" + ("" if vrf == "default" else f" vrf {vrf}"))
            lines.append(f" bgp router-id {LOOPBACK if vrf == 'default' else self.router_id}")
            lines += [" no bgp ebgp-requires-policy", " timers bgp 1 3"]
            for tunnel in self.tunnels.values():
                if tunnel.vrf == vrf:
                    lines += _neighbor(tunnel)
            lines.append("exit")
        self._sandbox.write("/run/bgpd.conf", "\n".join(lines) + "\n")

    def kill(self, *peers: str) -> None:
        """Kills the users' daemons; their kernels close the connections."""
        self._sandbox.kill(*(f"/run/{self.tunnels[peer].name}.pid" for peer in peers))
        self._dead.update(peers)

    def revive(self, *peers: str) -> None:
        """Starts the users' daemons."""
        script = []
        for peer in peers:
            tunnel = self.tunnels[peer]
            self._sandbox.write(f"/run/{tunnel.name}.conf", _bird(tunnel))
            script.append(
                f"nsenter --net=/run/netns/{tunnel.name} "
                f"bird -c /run/{tunnel.name}.conf -s /run/{tunnel.name}.ctl -P /run/{tunnel.name}.pid"
            )
        self._sandbox.run("\n".join(script))
        self._dead.difference_update(peers)

    def kill_bgp(self) -> None:
        """Kills the switch's own BGP daemon."""
        self._sandbox.kill("/run/frr/bgpd.pid")
        self._bgp_runs = False

    def restart_bgp(self) -> None:
        """Starts it again, with the configuration of the start."""
        self._sandbox.run(_RESTART)
        until(lambda: bool(self.live().router_ids), "bgpd runs")
        self._bgp_runs = True
        self._shut.clear()
        self._removed.clear()

    def shut(self, peer: str) -> None:
        """Shuts a neighbor in the configuration."""
        self._set(peer, f"neighbor {peer} shutdown")
        self._shut.add(peer)

    def open(self, peer: str) -> None:
        """Remove the shutdown of a neighbor."""
        self._set(peer, f"no neighbor {peer} shutdown")
        self._shut.discard(peer)

    def remove(self, peer: str) -> None:
        """Remove a neighbor from the configuration."""
        self._set(peer, f"no neighbor {peer}")
        self._removed.add(peer)

    def add(self, peer: str) -> None:
        """Configures a neighbor that was removed."""
        self._set(peer, *_neighbor(self.tunnels[peer]))
        self._removed.discard(peer)

    def heal(self) -> None:
        """Undoes everything that was done to the switch and its users."""
        if not self._bgp_runs:
            self.restart_bgp()
        for peer in [*self._removed]:
            self.add(peer)
        for peer in [*self._shut]:
            self.open(peer)
        if self._dead:
            self.revive(*self._dead)
        self.established()

    def _set(self, peer: str, *commands: str) -> None:
        vrf = self.tunnels[peer].vrf
        where = f"router bgp {LOCAL_ASN}" + ("" if vrf == "default" else f" vrf {vrf}")
        shell = " ".join(f"-c '{command.strip()}'" for command in ("configure terminal", where, *commands))
        self._sandbox.run(f"vtysh {shell}")

    def live(self) -> Live:
        """Return the state that FRR and the kernel report."""
        asked = self._sandbox.attempt(_STATE)
        if asked.returncode != 0:
            assert "bgpd is not running" in asked.stdout + asked.stderr, asked
            return Live({}, {})
        vrfs, neighbors, sockets = asked.stdout.split(_SEPARATOR)
        return Live(
            {name: vrf["routerId"] for name, vrf in json.loads(vrfs)["vrfs"].items()},
            {
                name: {peer: shown for peer, shown in vrf.items() if isinstance(shown, dict)}
                for name, vrf in json.loads(neighbors).items()
            },
            {match["peer"]: float(match["rtt"]) * 1000 for match in _PEER_OF_SS.finditer(sockets)},
        )

    def established(self, *peers: str) -> None:
        """Waits until the sessions (default: all that can be) are Established."""
        wanted = peers or [tunnel.peer for tunnel in self.tunnels.values() if tunnel.asn == tunnel.remote_asn]

        def all_up() -> bool:
            live = self.live()
            return all(live.state(peer) == "Established" for peer in wanted)

        until(all_up, f"{len(wanted)} sessions are Established")

    def down(self, *peers: str) -> None:
        """Waits until the sessions are not Established."""

        def all_down() -> bool:
            live = self.live()
            return all(live.state(peer) not in {"Established", None} for peer in peers)

        until(all_down, f"{len(peers)} sessions are down")


@contextmanager
def started_switch(router_id: str, tunnels: Iterable[Tunnel]) -> Iterator[Switch]:
    """A switch whose sessions come up; `router_id` is that of its unicast VRFs."""
    with Sandbox() as sandbox:
        switch = Switch(sandbox, router_id, tunnels)
        switch.start()
        yield switch


def _neighbor(tunnel: Tunnel) -> list[str]:
    lines = [f" neighbor {tunnel.peer} remote-as {tunnel.remote_asn}", f" neighbor {tunnel.peer} passive"]
    if tunnel.description:
        lines.append(f" neighbor {tunnel.peer} description {tunnel.description}")
    return lines


def _bird(tunnel: Tunnel) -> str:
    return f"""
router id {tunnel.peer};
protocol device {{}}
protocol bgp switch {{
  local {tunnel.peer} as {tunnel.asn};
  neighbor {tunnel.here} as {LOCAL_ASN};
  hold time 3;
  keepalive time 1;
  connect delay time 0;
  connect retry time 1;
  error wait time 1, 1;
  ipv4 {{ import all; export all; }};
}}
"""
