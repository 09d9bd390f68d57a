"""What is odd about users on the ledger alone."""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from dzbgp.console.words import abbreviated, duration
from dzbgp.decision.policy import Clock
from dzbgp.diagnostics.audit.findings import AuditInput, AuditRules, Finding, FindingKind
from dzbgp.diagnostics.audit.tunnels import overlapping
from dzbgp.models.ledger import BgpStatus, User, UserStatus

_UNSET = "0.0.0.0"
_POINT_TO_POINT = 31
# The controller's default, which an option of its own changes; a user that is Up has a neighbor anyway.
_FIRST_TUNNEL_ID, _TUNNEL_SLOTS = 500, 128
# What the controller treats as martian (malbeclabs/doublezero, 2026-08). 198.18.0.0/15 is not in the list.
_MARTIAN = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_DOCUMENTATION = tuple(map(IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))


def active_users(evidence: AuditInput) -> list[User]:
    """Return the activated users in the scope of the audit."""
    return [
        user
        for user in evidence.snapshot.data.users.values()
        if user.status is UserStatus.ACTIVATED and evidence.covers(user.device_pk)
    ]


def audit_users(evidence: AuditInput) -> Iterator[Finding]:
    """Find what is odd about activated users."""
    data = evidence.snapshot.data
    clock = Clock(data.slot, data.seconds_per_slot)
    users = active_users(evidence)
    for user in users:
        if user.device_pk not in data.devices:
            yield _finding(
                evidence, FindingKind.DEVICE_GONE, user, f"Its device {user.device_pk} is not on the ledger."
            )
            continue
        reasons = list(_not_rendered(user, evidence.rules))
        if reasons:
            detail = f"The controller renders no neighbor for it: {', '.join(reasons)}."
            yield _finding(evidence, FindingKind.NOT_RENDERED, user, detail)
        yield from _reports(evidence, user, clock)
    yield from _shared_tunnel_ids(evidence, users)
    yield from _overlaps(evidence, users)


def _finding(evidence: AuditInput, kind: FindingKind, user: User, detail: str) -> Finding:
    device = evidence.snapshot.data.devices.get(user.device_pk)
    return Finding(kind, str(user.pubkey), (device.code if device else "") or str(user.device_pk), detail)


def _not_rendered(user: User, rules: AuditRules) -> Iterator[str]:
    if user.tunnel_id == 0:
        yield "its tunnel_id is 0"
    if user.client_ip == _UNSET:
        yield "its client_ip is 0.0.0.0"
    if user.dz_ip == _UNSET:
        yield "its dz_ip is 0.0.0.0"
    elif _is_martian(user.dz_ip, rules):
        yield f"its dz_ip {user.dz_ip} is martian"
    if user.tunnel_id >= _FIRST_TUNNEL_ID + _TUNNEL_SLOTS and user.bgp_status is not BgpStatus.UP:
        last = _FIRST_TUNNEL_ID + _TUNNEL_SLOTS - 1
        yield f"its tunnel_id {user.tunnel_id} is beyond a device's {_TUNNEL_SLOTS} slots (up to {last} by default)"
    if user.tunnel_net.prefix_len != _POINT_TO_POINT:
        yield f"its tunnel_net {user.tunnel_net} is not a /31"


def _is_martian(address: str, rules: AuditRules) -> bool:
    nets = _MARTIAN + (_DOCUMENTATION if rules.documentation_is_martian else ())
    return any(IPv4Address(address) in net for net in nets)


def _reports(evidence: AuditInput, user: User, clock: Clock) -> Iterator[Finding]:
    """Compare a user's last report with its age."""
    rules, up_at, reported_at = evidence.rules, user.last_bgp_up_at, user.last_bgp_reported_at
    reported_s, up_s = clock.age_s(reported_at), clock.age_s(up_at)
    if not up_at and user.bgp_status is not BgpStatus.UP:
        detail = (
            f"It was never Up; Down was last reported {duration(reported_s)} ago."
            if reported_at
            else "It was never Up, and never reported."
        )
        yield _finding(evidence, FindingKind.NEVER_UP, user, detail)
    elif user.bgp_status is BgpStatus.DOWN and up_s > rules.down_for_s:
        detail = f"It is Down, and was last reported Up {duration(up_s)} ago."
        yield _finding(evidence, FindingKind.DOWN_LONG, user, detail)
    if reported_at and reported_s > rules.stale_after_s:
        detail = f"It was last reported {duration(reported_s)} ago, as {user.bgp_status.label}."
        yield _finding(evidence, FindingKind.STALE_REPORT, user, detail)


def _shared_tunnel_ids(evidence: AuditInput, users: list[User]) -> Iterator[Finding]:
    sharing: defaultdict[object, list[User]] = defaultdict(list)
    for user in users:
        if user.tunnel_id:
            sharing[user.device_pk, user.tunnel_id].append(user)
    for group in sharing.values():
        for user in group if len(group) > 1 else ():
            others = ", ".join(abbreviated(str(other.pubkey)) for other in group if other is not user)
            detail = (
                f"Its tunnel_id {user.tunnel_id} is that of {others} too: the controller renders only one."
            )
            yield _finding(evidence, FindingKind.DUPLICATE_TUNNEL_ID, user, detail)


def _overlaps(evidence: AuditInput, users: list[User]) -> Iterator[Finding]:
    everyone = evidence.snapshot.data.users.values()
    rivals = overlapping(user for user in everyone if user.status is UserStatus.ACTIVATED)
    for user in users:
        rival = rivals.get(user.pubkey)
        if rival is not None:
            detail = f"Its tunnel net {user.tunnel_net} overlaps {rival.tunnel_net} of user {rival.pubkey}."
            yield _finding(evidence, FindingKind.TUNNEL_OVERLAP, user, detail)
