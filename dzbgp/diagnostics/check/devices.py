"""Tests how far a connection to one device gets, and what to do where it fails."""

from collections import Counter
from collections.abc import Mapping, Sequence

from nornir.core.inventory import ConnectionOptions
from solders.pubkey import Pubkey

from dzbgp.console.words import amount
from dzbgp.decision.resolver import assess_credibility, vrf_of
from dzbgp.diagnostics.check.results import CheckResults, CheckSection
from dzbgp.eos.probe import Probe, Step
from dzbgp.eos.tls import is_expected, is_verified, transport_of, unverified
from dzbgp.errors import ExitCode
from dzbgp.models.ledger import Device, Tenant, User
from dzbgp.models.session import DeviceReading, DeviceResult

_SLOW_SHARE = 0.5
"""A device that uses more than this share of its timeout is slow."""

READ_ONLY_USER = (
    "a read-only user is enough; in EOS: `aaa authorization commands all default local`, `role dzbgp`, "
    "`10 permit mode exec command show version|show ip bgp .*|terminal (width|length) .*`, "
    "`username dzbgp privilege 1 role dzbgp secret ...`, and here optional_args: force_no_enable: true"
)
_NAMED = (
    "correct the inventory's username and password, or DZBGP_EOS_USERNAME and DZBGP_EOS_PASSWORD (or "
    "DZBGP_EOS_PASSWORD_FILE, DZBGP_EOS_PASSWORD_COMMAND)"
)
_PUBLIC = (
    "ask them in the management VRF: in `management api http-commands` on the device, `vrf default` with `shutdown`, "
    "`vrf MGMT` with `no shutdown` and `ip access-group ACL`"
)
_SSH_HINTS = {
    "reachable": "check hostname and port, the network path, and on the device `management ssh` (`no shutdown`, and "
    "`vrf MGMT` if management has its own VRF)",
    "api": "on the device check `show management ssh`; a slow device needs a longer timeout in extras",
    "tls": "add the device's host key to the known_hosts file (ssh-keyscan), after you have compared it",
}
HINTS = {
    "cluster": "check the Dask cluster: its workers need dzbgp[dask], the inventory and a network path to the devices",
    "settings": "correct platform and extras of the host's connection_options: napalm",
    "reachable": "check hostname and port, the network path, and on the device `management api http-commands` "
    "(`no shutdown`, and `vrf MGMT` if management has its own VRF)",
    "tls": "name the device's CA (--tls-ca-file), install a certificate for this hostname on the device, "
    "and check that the port is that of HTTPS",
    "api": "on the device check `show management api http-commands`; a slow device needs a longer timeout in extras",
    "credentials": f"{_NAMED}; {READ_ONLY_USER}",
    "eos": "upgrade EOS: NAPALM reads 4.23.0 and newer",
    "commands": READ_ONLY_USER,
    "bgp": "check `show ip bgp summary vrf all` on the device; if its BGP agent restarts, check again later",
    "identity": "check the host's hostname and port, and that dz_device names the right device",
    "writer": "switch the agent's BGP status off on the device, then run once with --take-over",
    "vrf": "check `show vrf` on the device, and the tenant's vrf_id onchain",
    "slow": "raise timeout in the host's extras, or ask fewer devices at once with --workers",
}


def check_writers(matched: Mapping[str, Device | None], others: Mapping[Pubkey, int]) -> CheckResults:
    """Name the hosts that another writer reports on; `others`: of how many users, by device."""
    found = CheckResults(CheckSection.DEVICES)
    for host, device in matched.items():
        count = 0 if device is None else others.get(device.pubkey, 0)
        if count:
            detail = f"{amount(count, 'user')} reported by another writer since our last write or pass"
            found.warn(host, "writer", detail, HINTS["writer"])
    return found


def check_device(
    host: str,
    device: Device | None,
    connection: ConnectionOptions,
    probe: Probe,
    users: Sequence[User],
    tenants: Mapping[Pubkey, Tenant],
    *,
    identity_check: bool,
) -> CheckResults:
    """Return the results for `host`. `device` and its activated `users` are those of the ledger.

    Without a device, for example if the ledger cannot be read, its identity is not tested.
    """
    found = CheckResults(CheckSection.DEVICES)
    if probe.failed_check:
        _passed(found, host, connection, probe, probe.failed_check)
        hints = HINTS | (_SSH_HINTS if transport_of(connection) == "ssh" else {})
        found.fail(host, probe.failed_check, probe.error, hints[probe.failed_check], ExitCode.PARTIAL)
        return found
    _passed(found, host, connection, probe, "")
    timeout = (connection.extras or {}).get("timeout")
    if isinstance(timeout, int | float) and probe.seconds > timeout * _SLOW_SHARE:
        detail = f"the slowest answer took {probe.seconds:.1f} s, and {timeout:g} s is the limit"
        found.warn(host, "slow", detail, HINTS["slow"])
    _check_answer(found, host, device, probe, users, tenants, identity_check=identity_check)
    return found


def check_verification(connections: Mapping[str, ConnectionOptions], *, is_kept: bool) -> CheckResults:
    """Report once for the whole fleet which devices anybody could pretend to be. `is_kept`: there is a state file."""
    found = CheckResults(CheckSection.DEVICES)
    for detail, remedy in unverified(connections.values(), is_kept=is_kept):
        found.warn("fleet", "tls", detail, remedy)
    return found


def check_addresses(
    matched: Mapping[str, Device | None], connections: Mapping[str, ConnectionOptions]
) -> CheckResults:
    """Warn once for the whole fleet about devices that are managed at the address that everybody reads onchain."""
    found = CheckResults(CheckSection.DEVICES)
    public = [
        host for host, device in matched.items() if device and connections[host].hostname == device.public_ip
    ]
    if public:
        detail = (
            f"{len(public)} of {len(matched)} are asked at their public_ip, which is open to the Internet"
        )
        found.warn("fleet", "address", detail, _PUBLIC)
    return found


def _proof(connection: ConnectionOptions) -> str:
    if is_verified(connection):
        return "verified"
    return (
        "not verified; the certificate is the known one, or the first one seen"
        if is_expected(connection)
        else "not verified"
    )


def _passed(found: CheckResults, host: str, connection: ConnectionOptions, probe: Probe, failed: str) -> None:
    """Add what passed before the failure."""
    step = probe.step
    transport = transport_of(connection)
    if (step > Step.CONNECT and failed not in {"reachable", "settings"}) and not (
        transport == "ssh" and step is Step.OPEN
    ):
        port = f":{connection.port}" if connection.port else ""
        found.ok(host, "reachable", f"{connection.hostname}{port} over {transport}")
    if step > Step.OPEN or failed in {"credentials", "commands", "eos"}:
        if transport not in {"http", "ssh"}:
            found.ok(host, "tls", _proof(connection))
        if failed != "credentials":
            found.ok(host, "credentials", f"user {connection.username!r} was accepted")
    if probe.version:
        found.ok(host, "eos", f"EOS {probe.version}")
    if step is Step.DONE:
        found.ok(host, "commands", "every command of a pass is authorized")


def _check_answer(
    found: CheckResults,
    host: str,
    device: Device | None,
    probe: Probe,
    users: Sequence[User],
    tenants: Mapping[Pubkey, Tenant],
    *,
    identity_check: bool,
) -> None:
    reading = DeviceReading(host, DeviceResult.OK, device, vrfs=probe.vrfs, neighbors=probe.neighbors)
    assessed = assess_credibility(reading, users, identity_check=identity_check)
    if assessed.result is DeviceResult.SUSPECT:
        check = "identity" if probe.vrfs and probe.neighbors else "bgp"
        found.fail(host, check, str(assessed.error), HINTS[check], ExitCode.PARTIAL)
        return
    up = sum(neighbor.is_up for neighbor in probe.neighbors)
    found.ok(host, "bgp", f"{amount(len(probe.neighbors), 'neighbor')}, {up} established")
    if device is None:
        return
    if identity_check and users:
        found.ok(host, "identity", f"not contradicted: router-id {device.public_ip} is that of {device.code}")
    shown = {vrf.name for vrf in probe.vrfs}
    wanted = Counter(vrf_of(user, tenants) for user in users)
    for vrf, count in wanted.items():
        if vrf is not None and vrf not in shown:
            detail = f"{vrf} is not shown: nothing is written for {amount(count, 'user')} in it"
            found.warn(host, "vrf", detail, HINTS["vrf"])
