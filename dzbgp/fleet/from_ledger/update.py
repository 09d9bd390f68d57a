"""What a hosts file and a groups file become when the ledger's knowledge goes in and a person's additions stay.

The ledger's: of a host's data the keys in FACTS, groups that are named as the ledger names them, and the hostname
for as long as it is what the ledger gave. Everything else is a person's: other settings, hosts that are no
devices, comments, the order.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dzbgp.fleet.from_ledger.content import Entry, Finder
from dzbgp.fleet.from_ledger.facts import FACTS, GROUPED, Facts
from dzbgp.fleet.from_ledger.selection import hostname_of
from dzbgp.fleet.from_ledger.yaml_edit import YamlText

_NOT_CHOSEN = "not chosen by these filters"


class Kind(StrEnum):
    """What an update did with a host or group."""

    ADDED = "added"
    CHANGED = "changed"
    GONE = "gone"
    """It has left the ledger, or the filters do not choose it, and it is kept in the file."""
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """What an update did with one of them, and as part of a sentence how."""

    kind: Kind
    noun: str
    name: str
    detail: str = ""


@dataclass(slots=True)
class Tally:
    """What an update has found."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    """Hosts."""
    own: int = 0
    """Hosts that are no devices of the ledger, and never were."""
    own_hostnames: int = 0
    """Hosts with another hostname than the ledger gives."""
    referred: dict[str, Facts] = field(default_factory=dict)
    """The devices that are hosts now, by the hosts' names."""


def update_hosts(
    text: YamlText,
    hosts: Mapping[str, Entry],
    wanted: Mapping[str, Entry],
    everything: Collection[Facts],
    template: str,
    *,
    prune: bool,
) -> Tally:
    """Edit a hosts file that says `hosts`, so that it has all of `wanted`."""
    tally = Tally()
    finder = Finder(everything)
    by_name = {facts.name: facts for facts in everything}
    placed = set()
    for name, entry in hosts.items():
        # A device that was made again has another key and the code that it had.
        facts = finder.find(name, entry) or by_name.get(name)
        if facts is None:
            _leaving(text, tally, name, entry, prune=prune)
            continue
        placed.add(facts.name)
        if facts.name not in wanted:
            if prune:
                text.remove(name)
                tally.changes.append(Change(Kind.REMOVED, "host", name, _NOT_CHOSEN))
                continue
            tally.changes.append(Change(Kind.GONE, "host", name, f"{_NOT_CHOSEN}; kept (--prune removes it)"))
        tally.referred[name] = facts
        details = _update_host(text, tally, name, entry, facts, template)
        if facts.name not in wanted:
            continue
        if details:
            tally.changes.append(Change(Kind.CHANGED, "host", name, ", ".join(details)))
        else:
            tally.unchanged += 1
    for code, entry in wanted.items():
        if code not in placed:
            name = code if code not in hosts else entry["data"]["dz_device"]
            text.set((name,), entry)
            tally.referred[name] = by_name[code]
            tally.changes.append(Change(Kind.ADDED, "host", name, entry["hostname"]))
    return tally


def _leaving(text: YamlText, tally: Tally, name: str, entry: Entry, *, prune: bool) -> None:
    if (entry.get("data") or {}).get("dz_device") is None:
        tally.own += 1
    elif prune:
        text.remove(name)
        tally.changes.append(Change(Kind.REMOVED, "host", name, "no longer in the ledger"))
    else:
        detail = "no longer in the ledger; kept (--prune removes it)"
        tally.changes.append(Change(Kind.GONE, "host", name, detail))


def _update_host(
    text: YamlText, tally: Tally, name: str, entry: Entry, facts: Facts, template: str
) -> list[str]:
    """Return what was changed, each in a few words."""
    data = entry.get("data") or {}
    before = {key: str(data[key]) for key in FACTS if data.get(key) is not None}
    details = []
    hostname, ours = entry.get("hostname"), hostname_of(template, facts.data)
    if ours is not None and hostname != ours:
        if hostname is None or hostname in {before.get("public_ip"), hostname_of(template, before)}:
            text.set((name, "hostname"), ours)
            details.append(f"hostname {hostname or 'none'} -> {ours}")
        else:
            tally.own_hostnames += 1
    changed = {key: value for key, value in facts.data.items() if data.get(key) != value}
    if not data:
        text.set((name, "data"), dict(facts.data))
        details.append("what the ledger knows of it")
    else:
        for key, value in changed.items():
            text.set((name, "data", key), value)
            if key in before:
                details.append(f"{key} {before[key] or 'none'} -> {value or 'none'}")
        new = [key for key in changed if key not in before]
        if new:
            details.append(f"now knows {' '.join(new)}")
    if _update_groups(text, (name, "groups"), entry.get("groups") or [], facts):
        details.append("groups")
    return details


def _update_groups(text: YamlText, path: tuple[str, str], groups: list[str], facts: Facts) -> bool:
    """Put each group of the ledger's in the place of the one that it was: of each kind there is one."""
    stale = {
        kind: [group for group in groups if group.startswith(f"{kind}-") and group not in facts.groups]
        for kind in GROUPED
    }
    missing = {kind: group for kind, group in zip(GROUPED, facts.groups, strict=True) if group not in groups}
    if not missing and not any(stale.values()):
        return False
    if not groups or any(len(stale[kind]) > (kind in missing) for kind in GROUPED):
        too_many = {group for some in stale.values() for group in some}
        kept = [group for group in groups if group not in too_many]
        text.set(path, list(dict.fromkeys([*kept, *facts.groups])))
        return True
    for kind, group in missing.items():
        if stale[kind]:
            text.replace(path, stale[kind][0], group)
        else:
            text.append(path, group)
    return True


def update_groups(
    text: YamlText, groups: Mapping[str, Entry], tally: Tally, referred: Collection[str], *, prune: bool
) -> None:
    """Edit a groups file that says `groups`, so that it has all groups of the devices that are hosts.

    `referred`: what hosts and groups name as their groups, besides those.
    """
    wanted: dict[str, dict[str, str]] = {}
    for facts in tally.referred.values():
        wanted.update(facts.group_data())
    for name, said in sorted(wanted.items()):
        if name not in groups:
            text.set((name,), {"data": said} if said else {})
            tally.changes.append(Change(Kind.ADDED, "group", name))
            continue
        data: dict[str, Any] = groups[name].get("data") or {}
        changed = {key: value for key, value in said.items() if data.get(key) != value}
        if changed and not data:
            text.set((name, "data"), changed)
        else:
            for key, value in changed.items():
                text.set((name, "data", key), value)
        if changed:
            tally.changes.append(Change(Kind.CHANGED, "group", name, ", ".join(changed)))
    if prune:
        for name, entry in groups.items():
            if name not in wanted and name not in referred and _is_only_ours(name, entry):
                text.remove(name)
                tally.changes.append(Change(Kind.REMOVED, "group", name, "nothing is in it"))


def _is_only_ours(name: str, entry: Entry) -> bool:
    """Return whether a group is one of the ledger's that nobody has added anything to."""
    said = {"metro_name", "location_name", "country"}
    ours = name.startswith(tuple(f"{kind}-" for kind in GROUPED))
    return ours and not entry.keys() - {"data"} and not (entry.get("data") or {}).keys() - said
