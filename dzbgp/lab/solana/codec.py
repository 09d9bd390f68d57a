"""Solana's JSON, both ways: what the lab's ledger reads from requests and writes into answers."""

import base64
import binascii
from typing import Any

from solders.message import MessageHeader
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Legacy, VersionedTransaction

from dzbgp.lab.solana.types import Execution, Landed, Version

TRANSACTION_LIMIT = 1232
ENCODED_LIMIT = 1644
BASE58_LIMIT = 128
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TYPE = "solana_transaction::versioned::VersionedTransaction"


class JsonRpcError(Exception):
    """Answered as a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def to_json(self) -> dict[str, Any]:
        """Return the error object of the answer."""
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}


def invalid(message: str) -> JsonRpcError:
    """Return the error for parameters that make no sense."""
    return JsonRpcError(-32602, message)


def base58_encode(data: bytes) -> str:
    """Return `data` in base58, with Bitcoin's alphabet."""
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def base58_decode(text: str) -> bytes:
    """Return the bytes of a base58 text. Raises ValueError."""
    number = 0
    for letter in text:
        number = number * 58 + _ALPHABET.index(letter)
    return bytes(len(text) - len(text.lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def read_pubkey(value: Any) -> Pubkey:
    """Return a base58 public key of the parameters."""
    try:
        return Pubkey.from_string(value)
    except (TypeError, ValueError) as error:
        raise invalid("Invalid param: WrongSize" if isinstance(value, str) else "Invalid param") from error


def read_signature(value: Any) -> Signature:
    """Return a base58 signature of the parameters."""
    try:
        return Signature.from_string(value)
    except (TypeError, ValueError) as error:
        raise invalid("Invalid param: WrongSize" if isinstance(value, str) else "Invalid param") from error


def read_bytes(value: Any, encoding: str, what: str = "data") -> bytes:
    """Return bytes of the parameters."""
    if not isinstance(value, str):
        raise invalid("invalid type: expected a string")
    try:
        if encoding == "base58":
            return base58_decode(value)
        if encoding == "base64":
            return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error) as error:
        raise invalid(f"invalid {encoding} encoding: {what}") from error
    raise invalid(f"unsupported encoding: {encoding}. Supported encodings: base58, base64")


def read_transaction(value: Any, encoding: str) -> VersionedTransaction:
    """Return a transaction of the parameters, with the limits that a node sets."""
    if isinstance(value, str) and len(value) > ENCODED_LIMIT:
        limit = f"(max: encoded/raw {ENCODED_LIMIT}/{TRANSACTION_LIMIT})"
        raise invalid(f"{encoding} encoded {_TYPE} too large: {len(value)} bytes {limit}")
    raw = read_bytes(value, encoding, _TYPE)
    if len(raw) > TRANSACTION_LIMIT:
        raise invalid(f"decoded {_TYPE} too large: {len(raw)} bytes (max: {TRANSACTION_LIMIT} bytes)")
    try:
        tx = VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise invalid(f"failed to deserialize {_TYPE}: {error}") from error
    try:
        tx.sanitize()
    except Exception as error:
        raise invalid(f"invalid transaction: {error}") from error
    return tx


def account_json(account: Version | None, encoding: str, data_slice: Any) -> dict[str, Any] | None:
    """Return an account as getAccountInfo gives it. No zstd: the lab's clients ask for compression of the answer."""
    if account is None:
        return None
    data, size = account.data, len(account.data)
    if data_slice is not None:
        data = data[data_slice["offset"] :][: data_slice["length"]]
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": _data_json(data, encoding),
        "executable": account.executable,
        "rentEpoch": 2**64 - 1,
        "space": size,
    }


def _data_json(data: bytes, encoding: str) -> Any:
    if encoding in ("base64", "jsonParsed"):  # what no parser knows comes as base64
        return [base64.b64encode(data).decode(), "base64"]
    if encoding in ("base58", "binary"):
        if len(data) > BASE58_LIMIT:
            limit = f"Encoded binary (base 58) data should be less than {BASE58_LIMIT} bytes"
            raise JsonRpcError(-32600, f"{limit}, please use Base64 encoding.")
        text = base58_encode(data)
        return text if encoding == "binary" else [text, "base58"]
    raise invalid(f"unsupported encoding: {encoding}. Supported encodings: base58, base64, jsonParsed")


def matches(account: Version, filters: list[Any]) -> bool:
    """Return whether an account passes all filters of getProgramAccounts."""
    return all(_passes(account.data, one) for one in filters)


def _passes(data: bytes, one: Any) -> bool:
    if "dataSize" in one:
        return len(data) == int(one["dataSize"])
    if "memcmp" not in one:
        raise invalid(f"unsupported filter: {', '.join(map(str, one))}")
    memcmp = one["memcmp"]
    wanted = memcmp["bytes"]
    raw = bytes(wanted) if isinstance(wanted, list) else read_bytes(wanted, memcmp.get("encoding", "base58"))
    offset = int(memcmp["offset"])
    return data[offset : offset + len(raw)] == raw


def simulation_json(outcome: Execution) -> dict[str, Any]:
    """Return the value of simulateTransaction, and the data of a preflight failure."""
    return {
        "accounts": None,
        "err": outcome.err,
        "fee": outcome.fee,
        "innerInstructions": None,
        "loadedAccountsDataSize": 0,
        "logs": list(outcome.logs),
        "replacementBlockhash": None,
        "returnData": None,
        "unitsConsumed": outcome.units,
    }


def status_json(err: Any) -> dict[str, Any]:
    """Return the old form of a transaction's end, which answers still carry."""
    return {"Ok": None} if err is None else {"Err": err}


def landed_json(landed: Landed, encoding: str, block_time: int) -> dict[str, Any]:
    """Return a transaction as getTransaction gives it."""
    outcome, message = landed.outcome, landed.tx.message
    if encoding in ("base64", "base58"):
        raw = bytes(landed.tx)
        text = base58_encode(raw) if encoding == "base58" else base64.b64encode(raw).decode()
        body: Any = [text, encoding]
    elif encoding == "json":
        body = {"signatures": [str(s) for s in landed.tx.signatures], "message": _message_json(message)}
    else:
        raise invalid(f"unsupported encoding: {encoding}. Supported encodings: base58, base64, json")
    meta = {
        "err": outcome.err,
        "status": status_json(outcome.err),
        "fee": outcome.fee,
        "preBalances": list(landed.before),
        "postBalances": list(landed.after),
        "innerInstructions": [],
        "logMessages": list(outcome.logs),
        "preTokenBalances": [],
        "postTokenBalances": [],
        "rewards": [],
        "loadedAddresses": {"writable": [], "readonly": []},
        "computeUnitsConsumed": outcome.units,
    }
    return {"slot": landed.slot, "transaction": body, "meta": meta, "blockTime": block_time}


def version_of(tx: VersionedTransaction) -> Any:
    """Return `legacy` or the version's number."""
    version = tx.version()
    return "legacy" if version == Legacy.Legacy else version


def _message_json(message: Any) -> dict[str, Any]:
    header: MessageHeader = message.header
    instructions = [
        {
            "programIdIndex": one.program_id_index,
            "accounts": list(bytes(one.accounts)),
            "data": base58_encode(bytes(one.data)),
            "stackHeight": None,
        }
        for one in message.instructions
    ]
    return {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": instructions,
    }
