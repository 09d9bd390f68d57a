"""The publishers' keys: where they come from, and the one place where they sign.

Nothing of a keypair file's content is ever part of a message.
"""

import contextlib
import json
import logging
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction

from dzbgp.errors import KeypairError
from dzbgp.ledger.program.instruction import is_set_bgp_status

log = logging.getLogger(__name__)

_KEYPAIR_INTEGERS = 64
_LONGEST = 1 << 16
"""Bytes that are read of a file: /dev/zero has no end."""
_EXPECTED = "expected a Solana CLI keypair, a JSON array of 64 integers"
# An array of bytes or the beginning of one, base58, hexadecimal: what people paste instead of a path.
_KEY_ITSELF = re.compile(r"\s*\[[\d,\s]*\]?\s*|[1-9A-HJ-NP-Za-km-z]{80,}|[0-9A-Fa-f]{64,}")


class Signer(Protocol):
    """Signs for one publisher. A solders Keypair is one; an external service can be another.

    It is called in the ledger's event loop: a signer that waits needs a short time limit of its own.
    """

    def pubkey(self) -> Pubkey:
        """Return the publisher's key."""

    def sign_message(self, message: bytes) -> Signature:
        """Sign a serialized message."""


class UnexpectedTransactionError(Exception):
    """dzbgp was about to sign something other than the statuses that it decided. Nothing was signed."""


@dataclass(frozen=True, slots=True)
class Signers:
    """Signers by the keys that they sign for."""

    keypairs: Mapping[Pubkey, Signer]

    def __contains__(self, pubkey: Pubkey) -> bool:
        return pubkey in self.keypairs

    def __len__(self) -> int:
        return len(self.keypairs)

    def __repr__(self) -> str:
        return f"Signers({', '.join(map(str, self.keypairs))})"

    def sign(self, message: Message, program_id: Pubkey, users: Collection[Pubkey]) -> Transaction:
        """Sign for the message's payer. Every signature of dzbgp is made here.

        Raises UnexpectedTransactionError for anything but SetUserBGPStatus of `program_id`, for one of `users`, beside
        instructions of the compute budget.
        """
        payer = message.account_keys[0]
        if message.header.num_required_signatures != 1:
            raise UnexpectedTransactionError("it needs a signature other than the publisher's")
        for instruction in message.instructions:
            program = message.account_keys[instruction.program_id_index]
            if program == COMPUTE_BUDGET:
                continue
            accounts = [message.account_keys[index] for index in bytes(instruction.accounts)]
            if program != program_id or not is_set_bgp_status(bytes(instruction.data), accounts):
                raise UnexpectedTransactionError("it holds an instruction other than SetUserBGPStatus")
            if accounts[0] not in users:
                raise UnexpectedTransactionError(f"user {accounts[0]} is not one of this pass")
        return Transaction.populate(message, [self.keypairs[payer].sign_message(bytes(message))])


def load_signers(paths: Iterable[Path]) -> Signers:
    """Read keypair files and directories of them (`*.json`). Raises KeypairError.

    In a directory, other JSON files are skipped with a warning: only a file that was named must be a keypair.
    """
    keypairs: dict[Pubkey, Signer] = {}
    for path in paths:
        if _is_dir(path):
            files = sorted(path.glob("*.json"))
            if not files:
                raise KeypairError(
                    f"--keypair {path}: the directory holds no *.json file; {_EXPECTED} in each"
                )
            for file in files:
                if file.exists() and not file.is_file():
                    # A pipe would be waited for without end.
                    log.warning("--keypair %s: it is not a file; skipped", file)
                    continue
                try:
                    keypair = _load(file)
                except KeypairError as error:
                    log.warning("%s; skipped", error)
                else:
                    keypairs[keypair.pubkey()] = keypair
        else:
            keypair = _load(path)
            keypairs[keypair.pubkey()] = keypair
    return Signers(keypairs)


def _is_dir(path: Path) -> bool:
    """Whether it is a directory. Raises KeypairError, without showing it, for a path that looks like a key."""
    if _KEY_ITSELF.fullmatch(str(path)):
        raise KeypairError(
            "--keypair: it looks like a key itself, which is not shown here; expected the path of a keypair file "
            "(the shell's history may hold the key now)"
        )
    try:
        return path.is_dir()
    except OSError as error:
        raise KeypairError(
            f"--keypair: {error.strerror or 'unreadable'} ({len(str(path))} characters); expected the path of "
            "a keypair file"
        ) from None


def _load(path: Path) -> Keypair:
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            text = file.read(_LONGEST)
    except OSError as error:
        raise KeypairError(f"--keypair {path}: {error.strerror or 'unreadable'}; {_EXPECTED}") from None
    keypair = keypair_of(path, text)
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_credential(path):
        log.warning(
            "keypair %s can be read by others than its owner (mode %o): chmod 600 it", path, mode & 0o777
        )
    return keypair


def keypair_of(path: Path, text: str | bytes) -> Keypair:
    """Return the keypair that a file's content is. `path` names the file in errors. Raises KeypairError."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise KeypairError(f"--keypair {path}: it is not JSON; {_EXPECTED}") from None
    if not isinstance(content, list):
        raise KeypairError(f"--keypair {path}: it holds a JSON {_kind(content)}; {_EXPECTED}")
    if len(content) != _KEYPAIR_INTEGERS:
        raise KeypairError(f"--keypair {path}: it holds a JSON array of {len(content)} items; {_EXPECTED}")
    if not all(type(item) is int and 0 <= item <= 255 for item in content):  # noqa: PLR2004 - a byte
        raise KeypairError(f"--keypair {path}: an item is not an integer from 0 to 255; {_EXPECTED}")
    keypair = None
    # solders' own message is left out: it might hold a part of the key.
    with contextlib.suppress(ValueError):
        keypair = Keypair.from_bytes(bytes(content))
    if keypair is None:
        raise KeypairError(f"--keypair {path}: its public key does not belong to its secret key; {_EXPECTED}")
    return keypair


def _is_credential(path: Path) -> bool:
    """Tell whether systemd made the file for this service alone, whatever its mode says."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY") or None
    return directory is not None and path.resolve().is_relative_to(Path(directory).resolve())


def _kind(content: object) -> str:
    return {dict: "object", str: "string", type(None): "null", bool: "boolean"}.get(type(content), "number")
