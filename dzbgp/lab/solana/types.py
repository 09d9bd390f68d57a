"""What the lab's chain keeps and gives: versions of accounts, outcomes, and transactions that landed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
    TransactionMetadata,
)

SET_USER_BGP_STATUS = 106


@dataclass(frozen=True, slots=True)
class Version:
    """An account as it is from `slot` on. An account without lamports does not exist."""

    slot: int
    lamports: int
    owner: Pubkey
    data: bytes
    executable: bool

    def same_as(self, other: "Version") -> bool:
        """Return whether the two are equal but for the slot."""
        return (self.lamports, self.owner, self.data) == (other.lamports, other.owner, other.data)


@dataclass(frozen=True, slots=True)
class Execution:
    """How a transaction ended. `err` is Solana's JSON for a TransactionError, None for success."""

    err: Any
    logs: tuple[str, ...]
    units: int
    fee: int
    accounts: tuple[tuple[Pubkey, Version], ...] = ()
    """After a simulation: the accounts that it would have written."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction that is on the chain, with success or with an error.

    Balances are in lamports, in the order of the message's account keys.
    """

    tx: VersionedTransaction
    signature: Signature
    slot: int
    outcome: Execution
    before: tuple[int, ...]
    after: tuple[int, ...]
    users: tuple[Pubkey, ...]
    """The user account of every SetUserBGPStatus in it, in order."""


def outcome_of(
    result: TransactionMetadata | FailedTransactionMetadata | SimulatedTransactionInfo,
) -> Execution:
    """Translate LiteSVM's result."""
    if isinstance(result, TransactionMetadata):
        return Execution(None, tuple(result.logs()), result.compute_units_consumed(), result.fee())
    meta = result.meta()
    err = None
    accounts: tuple[tuple[Pubkey, Version], ...] = ()
    if isinstance(result, FailedTransactionMetadata):
        # solders writes the error as the RPC does; its classes have no common way to tell it.
        err = json.loads(result.to_json())["err"]
    else:
        accounts = tuple(
            (pubkey, Version(0, account.lamports, account.owner, bytes(account.data), account.executable))
            for pubkey, account in result.post_accounts()
        )
    return Execution(err, tuple(meta.logs()), meta.compute_units_consumed(), meta.fee(), accounts)


def users_of(message: Message | MessageV0 | MessageV1, program_id: Pubkey) -> Iterator[Pubkey]:
    """Return the user account of every SetUserBGPStatus of a message, in order."""
    keys = message.account_keys
    for instruction in message.instructions:
        data, accounts = bytes(instruction.data), bytes(instruction.accounts)
        ours = keys[instruction.program_id_index] == program_id
        if ours and accounts and data[:1] == bytes([SET_USER_BGP_STATUS]):
            yield keys[accounts[0]]


_WORDS = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "InvalidAccountData": "invalid account data for instruction",
    "InvalidInstructionData": "invalid instruction data",
    "IncorrectProgramId": "incorrect program id for instruction",
    "MissingRequiredSignature": "missing required signature for instruction",
    "NotEnoughAccountKeys": "insufficient account keys for instruction",
    "SignatureFailure": "Transaction did not pass signature verification",
}


def explain(err: Any) -> str:
    """Return the sentence that a node puts beside a TransactionError; for the rarer ones, the error's name."""
    if isinstance(err, str):
        return _WORDS.get(err, err)
    name, detail = next(iter(err.items()))
    if name != "InstructionError":
        return f"{name}: {json.dumps(detail)}"
    index, cause = detail
    if isinstance(cause, str):
        return f"Error processing Instruction {index}: {_WORDS.get(cause, cause)}"
    kind, value = next(iter(cause.items()))
    told = f"custom program error: {value:#x}" if kind == "Custom" else f"{kind}: {value}"
    return f"Error processing Instruction {index}: {told}"
