"""Tests whether the publishers' keys are available, and whether they can pay. Nothing is signed."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from solders.pubkey import Pubkey

from dzbgp.diagnostics.check.results import CheckResults, CheckSection
from dzbgp.errors import ExitCode, KeypairError
from dzbgp.ledger.submit import signers as signers_module
from dzbgp.ledger.submit.signers import Signers, load_signers
from dzbgp.models.ledger import LAMPORTS_PER_SOL, Device

_NO_KEY = Pubkey.default()
_NAMES_SHOWN = 4


def load_keys(paths: Sequence[Path]) -> tuple[Signers | None, CheckResults]:
    """Read the keypairs as a run does; None if they cannot be read."""
    found = CheckResults(CheckSection.KEYS)
    if not paths:
        hint = "give the device's metrics publisher with --keypair PATH; `run --dry-run` works without one"
        found.fail("keypairs", "loaded", "no keypair was given", hint, ExitCode.USAGE)
        return None, found
    with _warnings() as warnings:
        try:
            loaded = load_signers(paths)
        except KeypairError as error:
            hint = "point --keypair at a Solana CLI keypair file of the publisher, or at a directory of them"
            found.fail("keypairs", "loaded", str(error), hint, ExitCode.USAGE)
            return None, found
    for warning in warnings:
        found.warn(
            "keypairs",
            "file",
            warning,
            "chmod 600 a key file that others can read; files that are not a keypair are ignored",
        )
    if not loaded.keypairs:
        detail = "the directory has no keypair file"
        found.fail("keypairs", "loaded", detail, "copy the publisher's keypair into it", ExitCode.USAGE)
        return None, found
    found.ok("keypairs", "loaded", f"{len(loaded)} of {', '.join(map(str, paths))}")
    return loaded, found


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the warnings inside the context instead of logging them."""
    logger, collector = logging.getLogger(signers_module.__name__), _Collector()
    logger.addHandler(collector)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield collector.lines
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagated


def publishers_of(devices: Iterable[Device]) -> dict[Pubkey, list[str]]:
    """Return the codes of the devices that each publisher signs for."""
    codes: dict[Pubkey, list[str]] = defaultdict(list)
    for device in devices:
        codes[device.metrics_publisher_pk].append(device.code)
    return dict(codes)


def check_publishers(
    publishers: Mapping[Pubkey, Sequence[str]],
    signers: Signers,
    balances: Mapping[Pubkey, int],
    low_balance: int,
    minimum: int,
) -> CheckResults:
    """Return for every publisher of the fleet whether its key is available and can pay.

    `balances`, `low_balance` and `minimum` in lamports: below `low_balance` there is a warning; at `minimum`, which
    an account must keep, or below, it cannot pay.
    """
    found = CheckResults(CheckSection.KEYS)
    for publisher, codes in publishers.items():
        where = _listed(codes)
        if publisher == _NO_KEY:
            hint = "have the contributor set the device's metrics publisher onchain"
            found.fail(where, "publisher", "no metrics publisher is set onchain", hint, ExitCode.PARTIAL)
        elif publisher not in signers:
            hint = "give its keypair with --keypair; without it these devices are read, but not written"
            detail = f"the key that signs for {where} is not available"
            found.fail(str(publisher), "key", detail, hint, ExitCode.PARTIAL)
        else:
            found.ok(str(publisher), "key", f"available; signs for {where}, and for their latency samples")
            if publisher in balances:
                _check_balance(found, publisher, balances[publisher], low_balance, minimum)
    return found


def check_duties(devices: Iterable[Device], signers: Signers) -> CheckResults:
    """Warn about keys that no device uses, or that can do more than they need to. `devices` are all of the ledger."""
    found = CheckResults(CheckSection.KEYS)
    every = list(devices)
    for key in signers.keypairs:
        signed = [device for device in every if device.metrics_publisher_pk == key]
        if not signed:
            detail = "it is the metrics publisher of no device of this program"
            found.warn(str(key), "unused", detail, "remove its file, unless a device will use it")
        owned = [device.code for device in signed if device.owner == key]
        if owned:
            detail = f"it is the owner of {_listed(owned)} too, and can change and delete such accounts"
            hint = (
                "set a key of its own as metrics publisher onchain, so that this machine needs no owner's key"
            )
            found.warn(str(key), "owner", detail, hint)
        if len({device.contributor_pk for device in signed}) > 1:
            detail = f"it signs for devices of several contributors: {_listed([one.code for one in signed])}"
            hint = "use a metrics publisher of its own for each contributor"
            found.warn(str(key), "contributors", detail, hint)
    return found


def _check_balance(found: CheckResults, publisher: Pubkey, has: int, low_balance: int, minimum: int) -> None:
    shown = f"{has / LAMPORTS_PER_SOL:.6f} SOL"
    if has <= minimum:
        hint = f"fund it: a transaction takes about 0.000005 SOL, and {minimum / LAMPORTS_PER_SOL:.6f} must remain"
        found.fail(str(publisher), "balance", f"{shown}: it cannot pay", hint, ExitCode.PARTIAL)
    elif has < low_balance:
        found.warn(str(publisher), "balance", f"{shown}: low", "fund it (--low-balance sets the limit)")
    else:
        found.ok(str(publisher), "balance", shown)


def _listed(codes: Sequence[str]) -> str:
    more = f" and {len(codes) - _NAMES_SHOWN} more" if len(codes) > _NAMES_SHOWN else ""
    return ", ".join(codes[:_NAMES_SHOWN]) + more
