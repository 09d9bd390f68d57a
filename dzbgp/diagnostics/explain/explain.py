"""One explanation: read the ledger and the state file, and with an inventory do the dry run of one device."""

from dataclasses import replace

from dzbgp.console.progress import Progress
from dzbgp.decision.resolver import vrf_of
from dzbgp.diagnostics.audit.devices import audit
from dzbgp.diagnostics.audit.findings import AuditInput, AuditRules
from dzbgp.diagnostics.explain.find import find_user
from dzbgp.diagnostics.explain.model import Explanation, UserHistory
from dzbgp.diagnostics.explain.remedies import remedies
from dzbgp.fleet.network import network_for
from dzbgp.ledger.networks import Network
from dzbgp.ledger.program.snapshot import take_snapshot
from dzbgp.models.ledger import User, UserStatus
from dzbgp.run.request import NO_STATE, RunRequest
from dzbgp.state.place import state_path
from dzbgp.state.records import transitions, writes
from dzbgp.state.store import Store

_KEPT = 10
"""How many of the last transitions and writes are shown."""


def run_explain(request: RunRequest, text: str, progress: Progress) -> Explanation:
    """Tell everything about the user that `text` names. Nothing is written. Raises a DzbgpError."""
    request = replace(request, dry_run=True)
    net = network_for(request)
    progress.stage("asking the ledger", 1)
    snapshot = take_snapshot(net)
    data = snapshot.data
    user = find_user(text, data.users.values())
    tenant = data.tenants.get(user.tenant_pk)
    rules = AuditRules(documentation_is_martian=net.name != "localnet")
    evidence = AuditInput(snapshot, rules, scope=frozenset({user.device_pk}))
    found = Explanation(
        snapshot=snapshot,
        user=user,
        device=data.devices.get(user.device_pk),
        tenant=(tenant.code or str(tenant.pubkey)) if tenant else "",
        vrf=vrf_of(user, data.tenants),
        findings=tuple(one for one in audit(evidence).findings if one.subject == str(user.pubkey)),
        past=_past(request, net, user),
        asked="no device was asked (--inventory)",
    )
    if request.inventory is not None:
        from dzbgp.diagnostics.explain.device import ask_device  # noqa: PLC0415 - Nornir, for this alone

        found = ask_device(request, request.inventory, net, found, progress)
    decision = found.answer.decision if found.answer else None
    steps = list(remedies(user, decision, found.findings))
    if request.inventory is None and found.device is not None and user.status is UserStatus.ACTIVATED:
        steps.append("give --inventory to see what the device says now, and what a run would do")
    return replace(found, remedies=tuple(steps))


def _past(request: RunRequest, net: Network, user: User) -> UserHistory | None:
    path = state_path(request.state, net.program_id)
    if request.state == NO_STATE or not path.is_file():
        return None
    with Store.open(path, net.program_id, net.genesis_hash, read_only=True) as store:
        return UserHistory(
            str(path),
            store.users().get(user.pubkey),
            transitions(store, user=user.pubkey)[-_KEPT:],
            writes(store, user=user.pubkey)[-_KEPT:],
        )
