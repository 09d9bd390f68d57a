"""Finds the publishers' keys that are on this machine but were not given: reported, never used."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import ruamel.yaml
from solders.pubkey import Pubkey

from dzbgp.diagnostics.check.results import CheckResults, CheckSection
from dzbgp.errors import KeypairError
from dzbgp.ledger.submit.signers import Signers, keypair_of

_VARIABLE = "DOUBLEZERO_KEYPAIR"
_CONFIGURATION = "DOUBLEZERO_CONFIG_FILE"
_USUAL = ("~/.config/doublezero/id.json", "~/.config/solana/id.json")
_LONGEST = 1 << 16


def check_found_keys(
    publishers: Mapping[Pubkey, Sequence[str]],
    signers: Signers | None,
    environ: Mapping[str, str] = os.environ,
) -> CheckResults:
    """Warn about each publisher whose key was not given although it is where the doublezero or Solana CLI has it."""
    found = CheckResults(CheckSection.KEYS)
    told: set[Pubkey] = set()
    for where, text in _keypairs(environ):
        try:
            key = keypair_of(Path(where), text).pubkey()
        except KeypairError:
            continue
        if key in publishers and key not in told and (signers is None or key not in signers):
            told.add(key)
            found.warn(
                str(key), "found", f"its key is in {where}, which is not used", f"give it: --keypair {where}"
            )
    return found


def _keypairs(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield where a keypair may be, and what is there: DoubleZero's own order."""
    given = environ.get(_VARIABLE, "")
    if given.lstrip().startswith("["):
        yield f"${_VARIABLE} (write it into a file)", given
        given = ""
    for place in (given, _configured(environ), *_USUAL):
        text = _read(place)
        if text is not None:
            yield place, text


def _configured(environ: Mapping[str, str]) -> str:
    """Return keypair_path of DoubleZero's own configuration; empty without any."""
    text = _read(environ.get(_CONFIGURATION) or "~/.config/doublezero/cli/config.yml")
    try:
        content = ruamel.yaml.YAML(typ="safe").load(text or "")
    except (ValueError, RecursionError, ruamel.yaml.error.YAMLError):
        return ""
    path = content.get("keypair_path") if isinstance(content, dict) else None
    return path if isinstance(path, str) else ""


def _read(place: str) -> str | None:
    try:
        path = Path(place).expanduser()
        # A pipe would be waited for without end.
        if not place or not path.is_file():
            return None
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST)
    except (OSError, ValueError, RuntimeError):
        # RuntimeError: there is no home directory.
        return None
