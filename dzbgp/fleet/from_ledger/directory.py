"""A directory with an inventory: planned first, written after."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.error import YAMLError

from dzbgp.console.files import replace_file
from dzbgp.eos import PLATFORM
from dzbgp.errors import InventoryError, UsageError
from dzbgp.fleet.from_ledger.content import Entry, content_of
from dzbgp.fleet.from_ledger.facts import FACTS, Facts
from dzbgp.fleet.from_ledger.selection import Selection
from dzbgp.fleet.from_ledger.update import Tally, update_groups, update_hosts
from dzbgp.fleet.from_ledger.yaml_edit import UneditableError, YamlText
from dzbgp.fleet.from_ledger.yaml_edit import text as quoted
from dzbgp.fleet.inventory.schema import check_elements, load_yaml

_HOSTS = f"""\
# The devices of {{env}}, as the ledger has them. `dzbgp inventory` brings this up to date when it is run again.
#
# The ledger's are the groups named contributor-, metro-, location- and status-, the hostname for as long as it is
# what the ledger gave, and of the data: {", ".join(FACTS[:6])},
# {", ".join(FACTS[6:])}.
# Everything else is yours and stays: other settings, other hosts, other groups, comments, the order.
"""
_GROUPS = """\
# The groups that the ledger makes, one for each contributor, metro (exchange), location and status.
# Settings of your own that stand here stay: a port, connection_options, data.
"""
_DEFAULTS = f"""\
# What holds for every host unless its group or the host itself says otherwise. Everything here is yours.
# The login: DZBGP_EOS_USERNAME and DZBGP_EOS_PASSWORD in the environment do as well, and are better kept there.
platform: {PLATFORM}
"""
_CONFIG = """\
# A Nornir configuration. Nornir takes these paths from the directory that a program is started in.
inventory:
  plugin: SimpleInventory
  options:
    host_file: {hosts}
    group_file: {groups}
    defaults_file: {defaults}

# How many devices are asked at the same time.
runner:
  plugin: threaded
  options:
    num_workers: 20

# Nornir would write nornir.log into the current directory.
logging:
  enabled: false
"""


@dataclass(frozen=True, slots=True)
class InventoryUpdate:
    """What would be written, and what is different then."""

    files: Mapping[Path, str]
    """The files that change, with their whole text."""
    tally: Tally

    def carry_out(self) -> None:
        """Write the files, each as a whole. Raises UsageError when one cannot be written."""
        for file, content in self.files.items():
            _write(file, content)


def plan_update(
    directory: Path, env: str, everything: Collection[Facts], selection: Selection, *, prune: bool = False
) -> InventoryUpdate:
    """Compare a directory, which need not be there, with the devices that `selection` chooses.

    Raises InventoryError for files that are malformed, or that can't be changed in place; UsageError.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory}: it is a file; expected a directory, or nothing")
    content = content_of(selection.choose(list(everything)), selection)
    files = {name: directory / f"{name}.yaml" for name in ("hosts", "groups", "defaults", "config")}
    new = {
        files["hosts"]: _HOSTS.format(env=env),
        files["groups"]: _GROUPS,
        files["defaults"]: _DEFAULTS,
        files["config"]: _CONFIG.format(**{name: quoted(str(file)) for name, file in files.items()}),
    }
    # Before anything is edited: these tell what is malformed, and where.
    hosts, groups = _entries(files["hosts"]), _entries(files["groups"])
    _entries(files["defaults"], whole=True)
    texts = {}
    for name in ("hosts", "groups", "defaults"):
        with _editing(files[name]):
            texts[name] = YamlText(_read(files[name]) or new[files[name]])
    with _editing(files["hosts"]):
        tally = update_hosts(
            texts["hosts"], hosts, content.hosts, everything, selection.hostname, prune=prune
        )
    referred = {
        group
        for entry in (*texts["hosts"].wanted.values(), *groups.values())
        for group in entry.get("groups") or ()
    }
    with _editing(files["groups"]):
        update_groups(texts["groups"], groups, tally, referred, prune=prune)
    with _editing(files["defaults"]):
        if texts["defaults"].wanted.get("platform") is None:
            texts["defaults"].set(("platform",), PLATFORM)
    finished = {}
    for name, text in texts.items():
        with _editing(files[name]):
            finished[files[name]] = text.finished()
    if _read(files["config"]) is None:
        finished[files["config"]] = new[files["config"]]
    return InventoryUpdate({file: text for file, text in finished.items() if text != _read(file)}, tally)


@contextlib.contextmanager
def _editing(file: Path) -> Iterator[None]:
    try:
        yield
    except (UneditableError, YAMLError):
        raise InventoryError(
            f"{file}: it cannot be changed without damage to its content; expected one mapping without "
            "anchors or tags where the ledger's settings are. Nothing was written"
        ) from None


def _read(file: Path) -> str | None:
    """Return the text with its own line ends, None where there is no file."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InventoryError(f"{file}: {why}; expected a YAML file") from None


def _entries(file: Path, *, whole: bool = False) -> dict[str, Entry]:
    """Return what a file says, if it is there; `whole`: it is one entry itself."""
    if not file.exists():
        return {}
    entries = load_yaml(file)
    check_elements(file, {"": entries} if whole else entries)
    return entries


def _write(file: Path, content: str) -> None:
    """Replace a file as a whole, with the permissions that it had: there may be a password in it."""
    target = file.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else None
        replace_file(target, content.encode(), mode)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; expected a directory that can be written to") from None
