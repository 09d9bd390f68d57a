"""What the error of a failed transaction means: whose instruction failed, and why, in words.

Source of the forms: Solana's TransactionError as JSON, {"InstructionError": [index, {"Custom": code}]} or
{"InstructionError": [index, "NameOfABuiltinError"]} or the name of an error of the transaction as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dzbgp.ledger.program.errors import EXPLANATIONS, PROGRAM_ERRORS

ALREADY_PROCESSED = "AlreadyProcessed"
BLOCKHASH_NOT_FOUND = "BlockhashNotFound"

_WORDS = {
    "AccountNotFound": "the publisher's account does not exist: it was never funded",
    "InsufficientFundsForFee": "the publisher cannot pay the fee",
    "InsufficientFundsForRent": "the publisher cannot pay the rent",
    "ProgramAccountNotFound": "the program does not exist on this cluster",
    "InvalidProgramForExecution": "the account at the program ID is not a program on this cluster",
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a transaction failed. `index` counts instructions from 0; None when it failed as a whole."""

    index: int | None
    why: str


def read_rejection(err: Any, logs: Sequence[str] = (), program_id: str = "") -> Rejection:
    """Read a transaction's error. `logs`, where there are any, hold the program's own words."""
    if isinstance(err, dict):
        detail = err.get("InstructionError")
        if isinstance(detail, list) and len(detail) == 2 and isinstance(detail[0], int):  # noqa: PLR2004
            return Rejection(detail[0], _instruction_error(detail[1]) + _own_words(logs, program_id))
        name = next(iter(err), "unknown error")
        return Rejection(None, _WORDS.get(name, f"{name} {err.get(name, '')}".strip()))
    return Rejection(None, _WORDS.get(str(err), str(err)))


def _instruction_error(detail: Any) -> str:
    code = detail.get("Custom") if isinstance(detail, dict) else None
    if not isinstance(code, int):
        return f"the runtime refused it: {detail}"
    name = PROGRAM_ERRORS.get(code, "an unknown error")
    remark = EXPLANATIONS.get(code)
    return f"the program refused it: {name} ({code})" + (f": {remark}" if remark else "")


def _own_words(logs: Sequence[str], program_id: str) -> str:
    """Return the last line that the program logged in the instruction that failed."""
    said = None
    for line in logs:
        if line.endswith(" invoke [1]"):
            said = None
        elif line.startswith("Program log: "):
            said = line.removeprefix("Program log: ")
        elif line.startswith(f"Program {program_id} failed"):
            break
    return f' (it logged "{said[:200]}")' if said else ""
