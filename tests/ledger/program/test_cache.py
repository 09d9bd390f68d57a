"""The one cache of a process: fresh for 5 s, one fetch for everybody, and the last good answer when it fails."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from typing import Any, TypeVar

import pytest
from msgspec import structs
from solana.rpc.async_http_provider import AsyncHTTPProvider
from solana.rpc.jsonrpc import JsonRpcRequest
from solders.pubkey import Pubkey
from stage import FAST, Stage, stage

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.lab.world.encode import encode_user
from dzbgp.ledger.errors import EmptyProgramError, LedgerError, RpcError, RpcSizeError, RpcTransportError
from dzbgp.ledger.program import cache as program_data
from dzbgp.ledger.program.accounts import USER
from dzbgp.ledger.program.cache import ProgramDataFetcher
from dzbgp.ledger.program.fetch import fetch
from dzbgp.ledger.rpc import endpoint
from dzbgp.ledger.rpc.client import RpcClient
from dzbgp.models.ledger import NOMINAL_SECONDS_PER_SLOT, ProgramData
from dzbgp.run.authorize import authorizer

T = TypeVar("T")
ACCOUNTS = "getProgramAccounts"


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage(2, 3) as made:
        yield made


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def run(
    made: Stage, story: Callable[[ProgramDataFetcher, Clock], Awaitable[T]], scope: Any = None, **options: Any
) -> T:
    clock = Clock()

    async def told(client: RpcClient) -> T:
        return await story(ProgramDataFetcher(client, scope, monotonic=clock, **options), clock)

    return made.ask(told)


def fetches(made: Stage) -> int:
    """Devices, tenants, users: three requests each."""
    asked = made.ledger.stats().requests.get(ACCOUNTS, 0)
    assert asked % 3 == 0
    return asked // 3


# The devices before the rest


def held_users(client: RpcClient, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Has the answer with the users wait for the event."""
    gate, real = asyncio.Event(), client.program_accounts

    async def held(kind: int, *more: Any) -> Any:
        if kind == USER:
            await gate.wait()
        return await real(kind, *more)

    monkeypatch.setattr(client, "program_accounts", held)
    return gate


def test_the_devices_are_there_while_the_users_are_still_read(
    one: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(client: RpcClient) -> None:
        gate = held_users(client, monkeypatch)
        fetcher = ProgramDataFetcher(client)
        early, rest = await fetcher.begin()
        assert len(early.devices) == 2
        assert not rest.done()
        gate.set()
        found = await rest
        assert found.data.devices is early.devices
        again, kept = await fetcher.begin()
        assert again.devices is early.devices
        assert (await kept).data is found.data

    one.ask(story)
    assert fetches(one) == 1


def test_without_a_good_answer_the_devices_are_an_error_too(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method=ACCOUNTS, code=-32602, times=None)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        with pytest.raises(LedgerError):
            await fetcher.begin()

    run(one, story)


def test_when_the_ledger_fails_the_devices_of_the_last_good_answer_are_given(one: Stage) -> None:
    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> None:
        good = await fetcher.get()
        clock.now += 60
        one.inject(Kind.RPC_ERROR, method=ACCOUNTS, code=-32602, times=None)
        asked = one.ledger.stats().requests[ACCOUNTS]
        early, rest = await fetcher.begin()
        assert (early.devices, early.slot) == (good.data.devices, good.data.slot)
        found = await rest
        assert found.stale
        assert found.data is good.data
        # Devices, tenants and users at once, and nothing after they had failed.
        assert one.ledger.stats().requests[ACCOUNTS] - asked <= 3

    run(one, story)


def test_that_the_users_never_come_is_known_while_others_wait(one: Stage) -> None:
    # Of few devices the users are asked for after the devices and the tenants.
    one.inject(Kind.RPC_ERROR, method=ACCOUNTS, code=-32602, after=2, times=None)
    with one.session(scope=lambda devices: list(devices)[:1]) as session:
        coming = session.coming()
        assert len(coming.devices) == 2
        with pytest.raises(LedgerError):
            coming.fetched()
        with pytest.raises(LedgerError):
            coming.check()


# All users together too large an answer


@pytest.fixture
def small_limit(one: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the users of one device be an answer, but not all users."""
    monkeypatch.setattr(endpoint, "MAX_ANSWER_BYTES", 3_000)


def test_when_all_users_are_too_large_an_answer_they_are_asked_for_device_by_device_from_then_on(
    one: Stage, small_limit: None
) -> None:
    keys = [spec.device.pubkey for spec in one.world.devices]

    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> list[int]:
        counts = []
        for _ in range(2):
            found = (await fetcher.get()).data
            assert found.scope == frozenset(keys)
            assert {user.device_pk for user in found.users.values()} == set(keys)
            assert len(found.users) == 6
            counts.append(one.ledger.stats().requests[ACCOUNTS])
            clock.now += 60
        return counts

    # Devices, tenants, all users, the users of two devices; then the same without all users.
    assert run(one, story, spare_scope=list) == [5, 9]


def test_of_a_device_without_an_answer_nothing_is_known_then(one: Stage, small_limit: None) -> None:
    first, second = (spec.device.pubkey for spec in one.world.devices)
    for spec in one.world.users:
        if spec.user.device_pk == second:
            one.ledger.set_account(
                spec.user.pubkey, encode_user(structs.replace(spec.user, device_pk=Pubkey.default()))
            )

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> ProgramData:
        return (await fetcher.get()).data

    found = run(one, story, spare_scope=list)
    assert found.scope == frozenset([first])
    assert found.remarks == ("1 device left out: an answer without any user is not believed.",)
    assert len(found.users) == 3


def test_devices_that_all_have_no_user_then_are_an_error_and_no_empty_fleet(
    one: Stage, small_limit: None
) -> None:
    for spec in one.world.users:
        one.ledger.set_account(
            spec.user.pubkey, encode_user(structs.replace(spec.user, device_pk=Pubkey.default()))
        )

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        with pytest.raises(EmptyProgramError):
            await fetcher.get()

    run(one, story, spare_scope=list)


def test_a_part_of_the_fleet_without_a_device_has_no_users_and_that_is_no_error(
    one: Stage, small_limit: None
) -> None:
    async def story(fetcher: ProgramDataFetcher, _: Clock) -> ProgramData:
        return (await fetcher.get()).data

    found = run(one, story, spare_scope=lambda _: [])
    assert (found.scope, dict(found.users)) == (frozenset(), {})


def test_without_a_part_to_ask_for_too_large_an_answer_is_an_error(one: Stage, small_limit: None) -> None:
    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        with pytest.raises(RpcSizeError, match="the answer is larger than"):
            await fetcher.get()

    run(one, story)


# Once for everybody


def test_an_answer_is_good_for_5_seconds(one: Stage) -> None:
    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> list[int]:
        counts = []
        first = await fetcher.get()
        for seconds in (4.9, 0.2, 4.9, 0.2):
            clock.now += seconds
            found = await fetcher.get()
            counts.append(fetches(one))
            assert not found.stale
            assert (found.data is first.data) == (fetches(one) == 1)
        return counts

    assert program_data.TTL_S == 5.0
    assert run(one, story) == [1, 2, 2, 3]


def test_the_age_is_told(one: Stage) -> None:
    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> list[float]:
        ages = [(await fetcher.get()).age_s]
        clock.now += 3
        return [*ages, (await fetcher.get()).age_s]

    assert run(one, story) == [0.0, 3.0]


def test_callers_at_the_same_time_share_one_fetch(one: Stage) -> None:
    async def story(fetcher: ProgramDataFetcher, _: Clock) -> int:
        found = await asyncio.gather(*(fetcher.get() for _ in range(50)))
        return len({id(answer.data) for answer in found})

    assert run(one, story) == 1
    assert fetches(one) == 1


def test_threads_share_one_fetch_too(one: Stage) -> None:
    one.inject(Kind.DELAY, method=ACCOUNTS, delay_s=0.2, times=None)
    with one.session() as session:
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda: found.append(session.program_data().data)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({id(data) for data in found}) == 1
    assert len(found) == 20
    assert fetches(one) == 1


def test_callers_at_the_same_time_share_one_failure(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method=ACCOUNTS, times=None)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> set[int]:
        found = await asyncio.gather(*(fetcher.get() for _ in range(10)), return_exceptions=True)
        assert all(isinstance(error, RpcError) for error in found)
        return {id(error) for error in found}

    assert len(run(one, story)) == 1


def test_a_fetch_outlives_the_caller_who_began_it(one: Stage) -> None:
    one.inject(Kind.DELAY, method=ACCOUNTS, delay_s=0.3, times=None)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        beginner = asyncio.ensure_future(fetcher.get())
        await asyncio.sleep(0.05)
        follower = asyncio.ensure_future(fetcher.get())
        await asyncio.sleep(0.05)
        beginner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginner
        assert not (await follower).stale

    run(one, story)
    assert fetches(one) == 1


def test_a_fetch_that_nobody_waits_for_any_more_still_fills_the_cache(one: Stage) -> None:
    one.inject(Kind.DELAY, method=ACCOUNTS, delay_s=0.2, times=None)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetcher.get(), 0.05)
        await asyncio.sleep(0.4)
        await asyncio.wait_for(fetcher.get(), 0.05)

    run(one, story)
    assert fetches(one) == 1


def test_a_fetch_has_its_own_time(one: Stage) -> None:
    one.inject(Kind.STALL, method=ACCOUNTS, delay_s=5)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> str:
        started = time.monotonic()
        with pytest.raises(RpcTransportError) as raised:
            await fetcher.get()
        assert 0.25 <= time.monotonic() - started < 3
        return str(raised.value)

    assert program_data.FETCH_TIMEOUT_S == 30.0
    assert run(one, story, timeout_s=0.3) == f"RPC {one.ledger.url}: no program data in 0.3 s"


# When it fails


def test_the_last_good_answer_is_served_and_that_is_logged_when_it_begins_and_when_it_ends(
    one: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> None:
        good = (await fetcher.get()).data
        one.inject(Kind.RPC_ERROR, method=ACCOUNTS, message="broken", times=None)
        for age in (60, 120, 180):
            clock.now += 60
            found = await fetcher.get()
            assert (found.data is good, found.stale, found.age_s) == (True, True, age)
        one.ledger.clear_faults()
        clock.now += 60
        found = await fetcher.get()
        assert (found.stale, found.age_s) == (False, 0.0)
        assert found.data is not good

    with caplog.at_level(logging.INFO, logger="dzbgp.ledger.program.cache"):
        run(one, story)
    first, last = [record.getMessage() for record in caplog.records if "program data" in record.getMessage()]
    assert first.startswith("program data: serving the last good answer, 60 s old: RPC http://127.0.0.1")
    assert last == "program data: the ledger answers again, after 240 s"


def test_each_outage_is_logged_anew(one: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> None:
        for _ in range(3):
            await fetcher.get()
            clock.now += 10
            one.inject(Kind.RPC_ERROR, method=ACCOUNTS, code=-32601)
            assert (await fetcher.get()).stale
            one.ledger.clear_faults()

    run(one, story)
    assert caplog.text.count("serving the last good answer") == 3
    assert caplog.text.count("answers again") == 2


def test_without_any_answer_ever_the_error_is_raised_and_the_next_caller_asks_anew(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method=ACCOUNTS, times=1, code=-32601)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        with pytest.raises(RpcError):
            await fetcher.get()
        assert not (await fetcher.get()).stale

    run(one, story)


def test_an_empty_answer_is_an_error_and_no_empty_program(one: Stage) -> None:
    one.inject(Kind.EMPTY_ACCOUNTS, times=None)
    with pytest.raises(EmptyProgramError) as raised:
        one.ask(fetch)
    assert f"program {one.world.program_id} has no device accounts" in str(raised.value)


def test_devices_without_a_single_user_are_an_error_and_no_empty_fleet(one: Stage) -> None:
    for spec in one.world.users:
        one.ledger.set_balance(spec.user.pubkey, 0)
    with pytest.raises(EmptyProgramError) as raised:
        one.ask(fetch)
    assert f"program {one.world.program_id} has no user accounts" in str(raised.value)


def test_an_empty_answer_does_not_replace_a_good_one(one: Stage) -> None:
    async def story(fetcher: ProgramDataFetcher, clock: Clock) -> None:
        good = (await fetcher.get()).data
        one.inject(Kind.EMPTY_ACCOUNTS, times=None)
        clock.now += 60
        found = await fetcher.get()
        assert (found.data is good, found.stale) == (True, True)

    run(one, story)


def test_a_read_that_fails_takes_the_others_along(one: Stage) -> None:
    """Nothing goes on asking in the background for an answer that nobody will see."""
    one.inject(Kind.RPC_ERROR, method=ACCOUNTS, code=-32602)
    one.inject(Kind.DELAY, method=ACCOUNTS, delay_s=0.3, times=None)

    async def story(client: RpcClient) -> None:
        with pytest.raises(RpcError):
            await fetch(client)
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1

    one.ask(story)


def test_an_account_that_can_not_be_read_is_skipped_with_a_word(one: Stage) -> None:
    key = one.writes[0].user
    one.ledger.set_account(key, (one.ledger.account(key) or b"")[:120])
    data = one.ask(fetch)
    assert len(data.users) == 5
    assert f"user account {key} could not be read and was skipped" in str(data.skipped[0])
    assert data.skipped[0].device == one.writes[0].device


def test_a_node_without_samples_leaves_the_nominal_slot_time(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method="getRecentPerformanceSamples", times=None)
    assert one.ask(fetch).seconds_per_slot == NOMINAL_SECONDS_PER_SLOT


# After a write


def test_after_a_write_the_cache_is_not_believed(one: Stage) -> None:
    with one.session() as session:
        before = session.program_data().data
        session.write(one.writes, one.signers, authorize=authorizer())
        after = session.program_data().data
    for write in one.writes:
        assert (after.users[write.user].bgp_status, after.users[write.user].bgp_rtt_ns) == (
            write.status,
            write.rtt_ns,
        )
    assert before.users[one.writes[0].user] != after.users[one.writes[0].user]


def test_after_a_write_a_node_that_has_not_seen_it_is_not_believed(one: Stage) -> None:
    with one.session() as session:
        session.program_data()
        session.write(one.writes, one.signers, authorize=authorizer())
        one.inject(Kind.STALE_SLOT, method=ACCOUNTS, slots=100_000, times=3)
        after = session.program_data()
    assert not after.stale
    assert after.data.users[one.writes[0].user].last_bgp_reported_at > one.world.now_slot


def test_a_fetch_that_began_before_the_write_does_not_fill_the_cache(one: Stage) -> None:
    one.inject(Kind.DELAY, method=ACCOUNTS, delay_s=0.3, times=3)

    async def story(fetcher: ProgramDataFetcher, _: Clock) -> None:
        early = asyncio.ensure_future(fetcher.get())
        await asyncio.sleep(0.1)
        fetcher.expire()
        late = await fetcher.get()
        assert (await early).data is not late.data
        assert (await fetcher.get()).data is late.data

    run(one, story)
    assert fetches(one) == 2


# What is asked for


def test_only_users_devices_and_tenants_are_asked_for(one: Stage) -> None:
    data = one.ask(fetch)
    assert set(data.users) == {spec.user.pubkey for spec in one.world.users}
    assert set(data.devices) == {spec.device.pubkey for spec in one.world.devices}
    assert set(data.tenants) == set(one.world.tenants.values())


def test_for_a_few_devices_only_their_users_are_asked_for(one: Stage) -> None:
    wanted = one.world.devices[1].device.pubkey
    everything = len(one.ask(fetch).users)
    sent = one.ledger.stats().bytes_sent
    data = one.ask(lambda client: fetch(client, lambda devices: [wanted] if wanted in devices else []))
    assert {user.device_pk for user in data.users.values()} == {wanted}
    assert (everything, len(data.users), len(data.devices)) == (6, 3, 2)
    assert one.ledger.stats().bytes_sent - sent < sent


def test_of_one_of_a_few_devices_it_is_not_believed_either_that_it_has_no_user(one: Stage) -> None:
    one.inject(Kind.EMPTY_ACCOUNTS, after=2)
    assert len(one.ask(lambda client: fetch(client, list)).users) == 6
    wanted = one.world.devices[1].device.pubkey
    one.inject(Kind.EMPTY_ACCOUNTS, after=2)
    data = one.ask(lambda client: fetch(client, lambda _: [wanted]))
    assert {user.device_pk for user in data.users.values()} == {wanted}


def test_of_a_few_devices_too_an_empty_answer_is_an_error(one: Stage) -> None:
    one.inject(Kind.EMPTY_ACCOUNTS, after=2, times=None)
    with pytest.raises(EmptyProgramError):
        one.ask(lambda client: fetch(client, list))


def test_a_device_that_really_has_no_user_is_no_error(one: Stage) -> None:
    nobody = Pubkey(bytes([7] * 32))
    assert one.ask(lambda client: fetch(client, lambda _: [nobody])).users == {}


def test_answers_are_compressed_on_the_wire() -> None:
    def bytes_of(made: Stage, headers: dict[str, str]) -> int:
        async def ask() -> None:
            params = [str(made.world.program_id), {"encoding": "base64"}]
            async with AsyncHTTPProvider(made.ledger.url, extra_headers=headers) as http:
                await http.make_request_unparsed(JsonRpcRequest(method=ACCOUNTS, params=params))

        before = made.ledger.stats().bytes_sent
        asyncio.run(ask())
        return made.ledger.stats().bytes_sent - before

    with stage(3, 40) as made:
        assert bytes_of(made, {}) < bytes_of(made, {"accept-encoding": "identity"}) * 0.6
        before = made.ledger.stats().bytes_sent
        data = made.ask(fetch)
        told = made.ledger.stats().bytes_sent - before
        raw = sum(len(made.ledger.account(key) or b"") for key in [*data.users, *data.devices])
        assert told < raw


def test_the_slot_is_the_oldest_of_what_was_read() -> None:
    with stage(slot_ms=0) as made:
        assert made.ask(fetch).slot == made.ledger.slot - 1
        made.inject(Kind.STALE_SLOT, method=ACCOUNTS, slots=9, after=1)
        assert made.ask(fetch).slot == made.ledger.slot - 10


# Immutable


def test_what_everybody_shares_nobody_can_change(one: Stage) -> None:
    data = one.ask(fetch)
    key, user = next(iter(data.users.items()))
    for mapping in (data.users, data.devices, data.tenants):
        with pytest.raises(TypeError):
            mapping[key] = user  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        data.slot = 1  # type: ignore[misc]
    with pytest.raises(AttributeError):
        user.bgp_rtt_ns = 1  # type: ignore[misc]
    assert replace(data, slot=1).slot == 1


def test_an_outage_of_the_rpc_takes_no_longer_than_the_budget(one: Stage) -> None:
    one.inject(Kind.HANGUP_BEFORE, times=None)
    started = time.monotonic()
    with pytest.raises(LedgerError):
        one.ask(fetch, budget=FAST)
    assert time.monotonic() - started < 5
