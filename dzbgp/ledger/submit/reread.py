"""Reads users again right before a signature, together with the ledger's own clock.

Batches that get this far at the same moment share a request.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from dzbgp.ledger.program.accounts import AccountError, decode_user
from dzbgp.ledger.program.instruction import Write
from dzbgp.ledger.rpc.client import ACCOUNTS_PER_CALL, RpcClient
from dzbgp.models.ledger import Account, User
from dzbgp.models.submission import Refusal

_USERS_PER_CALL = ACCOUNTS_PER_CALL - 1
_GATHER_S = 0.005


@dataclass(frozen=True, slots=True)
class Reread:
    """Users as one bank of the ledger has them."""

    slot: int
    ledger_at: float | None
    """The ledger's own Unix time in that slot. None where there is no Clock sysvar."""
    users: Mapping[Pubkey, User | None]
    """None: the account is gone, or no longer a user's."""


Authorize = Callable[[Sequence[Write], Reread], Mapping[Pubkey, Refusal]]
"""Asked before each signature. Returns the users that must not be written, and why. Must not raise."""


class Rereader:
    """Reads the users of batches. Used within one event loop."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._waiting: list[tuple[list[Pubkey], int, asyncio.Future[Reread]]] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def read(self, keys: Sequence[Pubkey], min_context_slot: int) -> Reread:
        """Return users as of `min_context_slot` or later. Raises a LedgerError."""
        answer: asyncio.Future[Reread] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(keys), min_context_slot, answer))
        if len(self._waiting) == 1:
            # Nobody's own task: it goes on for the others, whoever of them is cancelled.
            asking = asyncio.create_task(self._ask_for_all())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        return await answer

    async def _ask_for_all(self) -> None:
        await asyncio.sleep(_GATHER_S)
        waiting, self._waiting = self._waiting, []
        shares: list[list[tuple[list[Pubkey], int, asyncio.Future[Reread]]]] = []
        count = _USERS_PER_CALL
        for one in waiting:
            count += len(one[0])
            if count > _USERS_PER_CALL:
                shares.append([])
                count = len(one[0])
            shares[-1].append(one)
        await asyncio.gather(*(self._ask(share) for share in shares))

    async def _ask(self, share: list[tuple[list[Pubkey], int, asyncio.Future[Reread]]]) -> None:
        keys = [key for some, _, _ in share for key in some]
        try:
            answer = await reread(self._client, keys, max(slot for _, slot, _ in share))
        except Exception as error:  # noqa: BLE001 - each of those who wait must hear of it
            for _, _, future in share:
                with contextlib.suppress(asyncio.InvalidStateError):
                    future.set_exception(error)
        else:
            for _, _, future in share:
                with contextlib.suppress(asyncio.InvalidStateError):
                    future.set_result(answer)


async def reread(client: RpcClient, keys: Sequence[Pubkey], min_context_slot: int) -> Reread:
    """Read users and the Clock sysvar in one request for up to 99 users. Raises a LedgerError.

    LedgerBehindError if no RPC is believed.
    """
    bank = await client.bank(keys[:_USERS_PER_CALL], min_context_slot)
    more = await client.accounts(keys[_USERS_PER_CALL:], min_context_slot=bank.slot)
    users = map(user_of, (*bank.accounts, *more))
    return Reread(bank.slot, bank.ledger_at, dict(zip(keys, users, strict=True)))


def user_of(account: Account | None) -> User | None:
    """Decode a user. None for an account that is gone, or no longer a user's."""
    try:
        return decode_user(account.pubkey, account.data, account.lamports) if account else None
    except AccountError:
        return None
