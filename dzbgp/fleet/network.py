"""Which ledger a request is about. Nornir is loaded only for a request with an inventory."""

from dataclasses import replace

from dzbgp.errors import UsageError
from dzbgp.fleet.options import FleetRequest
from dzbgp.ledger.networks import Network, network


def network_for(request: FleetRequest) -> Network:
    """Return the ledger of a request: that of its inventory, if the inventory comes from one. Raises UsageError."""
    # Errors in the options are reported first, whatever the inventory is.
    asked = _network(request, request.env)
    if request.inventory is None:
        return asked
    from dzbgp.fleet.load import network_of  # noqa: PLC0415 - slow

    named = network_of(request.inventory)
    if named is None:
        return asked
    if request.env and request.env != named:
        raise UsageError(f"--env: {request.env!r} was given, but the inventory is for {named!r}")
    return _network(request, named)


def _network(request: FleetRequest, name: str) -> Network:
    return replace(network(name, request.rpc_urls, request.program_id), use_proxies=request.proxy)
