"""The content of an inventory made of the ledger, with settings of a person's own merged over it."""

import copy
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dzbgp.eos import PLATFORM
from dzbgp.errors import InventoryError
from dzbgp.fleet.from_ledger.facts import Facts
from dzbgp.fleet.from_ledger.selection import Selection, hostname_of
from dzbgp.fleet.inventory.schema import check_elements, check_parents, load_yaml
from dzbgp.fleet.matching import Matcher

log = logging.getLogger(__name__)


Entry = dict[str, Any]
"""A host, a group or the defaults, as a SimpleInventory writes them."""


@dataclass(slots=True)
class Content:
    """What hosts.yaml, groups.yaml and defaults.yaml would say."""

    hosts: dict[str, Entry] = field(default_factory=dict)
    groups: dict[str, Entry] = field(default_factory=dict)
    defaults: Entry = field(default_factory=lambda: {"platform": PLATFORM})


def content_of(chosen: Iterable[Facts], selection: Selection) -> Content:
    """Return the hosts and their groups; a device that no hostname can be made for is left out, with a warning."""
    content = Content()
    for facts in chosen:
        hostname = hostname_of(selection.hostname, facts.data)
        if hostname is None:
            log.warning("device %r is left out: no hostname can be made of its data", facts.name)
            continue
        content.hosts[facts.name] = {"hostname": hostname, "groups": facts.groups, "data": dict(facts.data)}
        for group, said in facts.group_data().items():
            content.groups.setdefault(group, {"data": said} if said else {})
    return content


def merge_extra(content: Content, extra: Path, everything: Iterable[Facts]) -> None:
    """Merge settings over `content`: a file of hosts, or a directory with hosts.yaml, groups.yaml, defaults.yaml.

    A host's entry goes to the device that it is, by the rule of fleet/matching.py. Lists of groups are joined, the
    person's first, because Nornir takes a setting from the first group that has it; mappings are merged; what
    is anything else is replaced. Raises InventoryError.
    """
    if not extra.exists():
        raise InventoryError(f"{extra}: there is no such file or directory; expected settings of hosts")
    files = {"hosts": extra, "groups": extra, "defaults": extra}
    if extra.is_dir():
        files = {name: extra / f"{name}.yaml" for name in files}
        if not any(file.exists() for file in files.values()):
            raise InventoryError(f"{extra}: expected hosts.yaml, groups.yaml or defaults.yaml in it")
    loaded = {
        name: load_yaml(file) if file.exists() and (name == "hosts" or extra.is_dir()) else {}
        for name, file in files.items()
    }
    check_elements(files["hosts"], loaded["hosts"])
    check_elements(files["groups"], loaded["groups"])
    check_elements(files["defaults"], {"": loaded["defaults"]})
    for name, entry in loaded["groups"].items():
        content.groups[name] = merged(content.groups.get(name, {}), entry)
    content.defaults = merged(content.defaults, loaded["defaults"])
    finder = Finder(everything)
    for name, entry in loaded["hosts"].items():
        facts = finder.find(name, entry)
        if facts is None:
            log.warning("%s: host %r is not a device of the ledger; it is left out", files["hosts"], name)
        elif facts.name in content.hosts:
            host = content.hosts[facts.name] = merged(content.hosts[facts.name], entry)
            host["data"]["dz_device"] = facts.data["dz_device"]
    check_parents(files["hosts"], content.hosts, files["groups"], content.groups)
    check_parents(files["groups"], content.groups, files["groups"], content.groups)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Entry:
    """Return an entry with another one merged over it; an empty place takes nothing away."""
    result = _overlaid(below, {key: value for key, value in above.items() if key != "groups"})
    groups = [*(above.get("groups") or ()), *(below.get("groups") or ())]
    return result | ({"groups": list(dict.fromkeys(groups))} if groups else {})


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> Entry:
    result = copy.deepcopy(dict(below))
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = _overlaid(old, value)
        elif value is not None or not isinstance(old, dict):
            result[key] = copy.deepcopy(value)
    return result


class Finder:
    """Finds the device that an entry of a hosts file is, by the rule that runs have."""

    def __init__(self, everything: Iterable[Facts]) -> None:
        self._by_key = {facts.device.pubkey: facts for facts in everything}
        self._matcher = Matcher(facts.device for facts in self._by_key.values())

    def find(self, name: str, entry: Mapping[str, Any]) -> Facts | None:
        """Return what is known of the device, None where there is none."""
        hostname = entry.get("hostname")
        match = self._matcher.find(
            name, (entry.get("data") or {}).get("dz_device"), None if hostname is None else str(hostname)
        )
        return self._by_key[match.device.pubkey] if match.device else None
