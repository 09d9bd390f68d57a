"""Looks where DoubleZero's own command line has keys and settings: reported, never used."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ruamel.yaml
from solders.pubkey import Pubkey

from dzbgp.diagnostics.check.results import CheckResults, CheckSection
from dzbgp.errors import KeypairError
from dzbgp.ledger.networks import Network
from dzbgp.ledger.secrets import redact
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


def check_doublezero_configuration(net: Network, environ: Mapping[str, str] = os.environ) -> CheckResults:
    """Warn where DoubleZero's own configuration names another program or RPC than this run."""
    found = CheckResults(CheckSection.LEDGER)
    place = _place(environ)
    said = _configuration(environ)
    program, url = said.get("program_id"), said.get("json_rpc_url")
    if isinstance(program, str) and program != str(net.program_id):
        found.warn(
            "program",
            "doublezero",
            f"{place} names program {program}, this run {net.program_id}",
            "it is not used; if it is the right one, name its network with --env, or --program-id",
        )
    elif isinstance(url, str) and url and redact(url) not in map(redact, net.rpc_urls):
        found.warn(
            "rpc",
            "doublezero",
            f"{place} names {redact(url)}, this run asks {', '.join(map(redact, net.rpc_urls))}",
            "it is not used; to use it too, add it with --rpc-url",
        )
    return found


def _keypairs(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield where a keypair may be, and what is there: DoubleZero's own order."""
    given = environ.get(_VARIABLE, "")
    if given.lstrip().startswith("["):
        yield f"${_VARIABLE} (write it into a file)", given
        given = ""
    configured = _configuration(environ).get("keypair_path")
    for place in (given, configured if isinstance(configured, str) else "", *_USUAL):
        text = _read(place)
        if text is not None:
            yield place, text


def _place(environ: Mapping[str, str]) -> str:
    return environ.get(_CONFIGURATION) or "~/.config/doublezero/cli/config.yml"


def _configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return DoubleZero's own configuration; empty without any."""
    try:
        content = ruamel.yaml.YAML(typ="safe", pure=True).load(_read(_place(environ)) or "")
    except (ValueError, RecursionError, ruamel.yaml.error.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _read(place: str) -> str | None:
    try:
        path = Path(os.path.expanduser(place))
        # A pipe would be waited for without end.
        if not place or not path.is_file():
            return None
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST)
    except (OSError, ValueError):
        return None
