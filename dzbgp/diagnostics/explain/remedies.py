"""What to do next, by the reason of a decision and by what is odd on the ledger."""

from collections.abc import Iterator, Sequence

from dzbgp.diagnostics.audit.findings import Finding, FindingKind
from dzbgp.models.decision import Decision
from dzbgp.models.ledger import DeviceStatus, User, UserStatus
from dzbgp.models.session import Observed

_BY_REASON = {
    "no-signer": "give the keypair of the device's metrics publisher with --keypair; `dzbgp check` names the keys",
    "no-answer": "`dzbgp check --limit {host}` tests the way to the device step by step",
    "suspect-device": "`dzbgp check --limit {host}` tests the device's answer; check the host's address and dz_device",
    "wrong-vrf": "check the tenant's vrf_id onchain, and on the device `show ip bgp neighbors {peer} vrf all`",
    "wrong-side": "the neighbor is configured on the device's own address; expected {peer}: correct the configuration",
    "no-tenant": "check that the user's tenant is on the ledger; read again with another --rpc-url",
    "no-vrf": "check `show vrf` and `show ip bgp summary vrf all` on the device: {vrf} is missing or incomplete",
    "ambiguous": "two users or two neighbors claim the tunnel; `dzbgp audit` names them",
    "odd-neighbor": "check `show ip bgp neighbors {peer} vrf all | json` on the device, and report it",
    "guard": (
        "check the device; if the sessions are really down, --force writes the Downs, and so does "
        "`dzbgp release {host}` after a run that writes has held them"
    ),
    "other-writer": "stop the agent on the device, or write anyway with --take-over",
    "stale-ledger": "give another RPC with --rpc-url, or check this machine's clock",
    "in-flight": "wait: the next pass knows whether the earlier write landed",
    "expired": "run again; if it happens again, raise --device-timeout or check the device's load",
    "unconfirmed": "run again: the two looks did not agree",
    "new-user": "run again in a minute",
    "damped": "find out why the session flaps: `dzbgp history transitions --user {user}`",
}

_WHY_ABSENT = frozenset(
    {
        FindingKind.NOT_RENDERED,
        FindingKind.DUPLICATE_TUNNEL_ID,
        FindingKind.TUNNEL_OVERLAP,
    }
)
"""What on the ledger explains that a device has no neighbor for a user."""


def remedies(user: User, decision: Decision | None, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield what to do, the most likely cause first; nothing where all is well."""
    if user.status is not UserStatus.ACTIVATED:
        yield f"the user is {user.status.label}: only activated users are configured on devices and reported"
    yield from _of_ledger(findings)
    if decision is None:
        return
    seen = decision.observation
    if seen.device.status is DeviceStatus.DRAINED:
        yield "the device is drained, so its sessions are shut down on purpose: nothing to do until it is undrained"
    words = {
        "host": seen.host,
        "peer": seen.peer_ip or "",
        "vrf": seen.vrf or "its VRF",
        "user": str(user.pubkey),
    }
    if decision.reason in _BY_REASON:
        yield _BY_REASON[decision.reason].format(**words)
    if seen.observed is Observed.NOT_ESTABLISHED and seen.device.status is not DeviceStatus.DRAINED:
        if seen.neighbor is not None and not seen.neighbor.is_enabled:
            yield (
                "the neighbor is shut down on the device (admin-down): find out who did it, then "
                f"`no neighbor {seen.peer_ip} shutdown`"
            )
        else:
            yield (
                f"the session is down: check that the user's side runs BGP through the tunnel, and ping {seen.peer_ip} "
                "from the device"
            )
    if seen.observed is Observed.ABSENT and not any(one.kind in _WHY_ABSENT for one in findings):
        yield (
            "the device has no neighbor for the user: check that the controller has configured it "
            f"(`show running-config section USER-{user.tunnel_id}`)"
        )


def _of_ledger(findings: Sequence[Finding]) -> Iterator[str]:
    for one in findings:
        match one.kind:
            case FindingKind.NOT_RENDERED:
                yield "correct the user's account: until then, the controller configures no neighbor for it"
            case FindingKind.DUPLICATE_TUNNEL_ID | FindingKind.TUNNEL_OVERLAP:
                yield "delete one of the users that share the tunnel, and create it again"
            case FindingKind.DEVICE_GONE:
                yield "delete the user: its device does not exist any more"
            case FindingKind.STALE_REPORT:
                yield "no writer reports this user: check that passes run (`dzbgp status`) and check its device"
            case _:
                continue
