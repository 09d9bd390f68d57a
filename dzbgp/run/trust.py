"""What `dzbgp inventory trust` does: asks a device for its certificate or host key, and expects that from now on."""

from dataclasses import dataclass, replace

from dzbgp.eos.connection import CONNECTION
from dzbgp.eos.credentials import Login
from dzbgp.eos.eapi import PORTS
from dzbgp.eos.tls import transport_of
from dzbgp.eos.trust import SSH, TLS, show, shown
from dzbgp.errors import TrustError, UsageError, one_line
from dzbgp.fleet.load import load_inventory
from dzbgp.run.request import NO_STATE, SetupRequest
from dzbgp.run.setup import network_of_run
from dzbgp.state.known_keys import keep_known_key, read_known_keys
from dzbgp.state.place import state_path
from dzbgp.state.store import Store

_SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Trusted:
    """What a host was expected to show, and what it shows now; both as people compare them."""

    address: str
    kind: str
    before: str | None
    now: str


def trust(request: SetupRequest, name: str) -> Trusted:
    """Ask a host of the inventory for its key, without a login, and write that into the state file.

    Raises TrustError when the host does not answer or the file cannot be written, and a UsageError.
    """
    net = network_of_run(request)
    if request.inventory is None or request.state == NO_STATE:
        raise UsageError("--state: trust writes into the state file; expected a file")
    # Nobody logs in: a host without a login is as good.
    nornir = load_inventory(
        request.inventory, replace(request, limit=(name,)), net, Login("nobody", "nobody")
    )
    if name not in nornir.inventory.hosts:
        raise UsageError(f"{name!r} is not one host of the inventory; expected its name")
    connection = nornir.inventory.hosts[name].get_connection_parameters(CONNECTION)
    transport = transport_of(connection)
    if transport != "ssh" and not transport.startswith("https"):
        raise UsageError(
            f"host {name!r} has transport {transport!r}, which does not prove the device's identity; "
            "expected https or ssh"
        )
    kind = SSH if transport == "ssh" else TLS
    port = connection.port or PORTS.get(transport, _SSH_PORT)
    address = f"{connection.hostname}:{port}"
    try:
        key = show(str(connection.hostname), port, kind, request.device_timeout_s)
    except Exception as error:
        raise TrustError(
            f"{address} shows no {kind}: {one_line(error, 200) or type(error).__name__}"
        ) from error
    path = state_path(request.state, net.program_id)
    with Store.open(path, net.program_id, net.genesis_hash) as store:
        before = read_known_keys(store).get((name, kind))
        if not keep_known_key(store, name, kind, key):
            raise TrustError(f"--state {path}: it could not be written; {shown(kind, key)} is not trusted")
    return Trusted(address, kind, None if before is None else shown(kind, before), shown(kind, key))
