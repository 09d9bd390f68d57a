"""Checks before anything is signed: the wrong cluster, and publishers that cannot pay."""

import logging
from collections.abc import Iterator

import pytest
from solders.pubkey import Pubkey
from stage import SOL, Stage, outcomes, stage, writes_of

from dzbgp.lab.solana.faults import FaultKind as Kind
from dzbgp.lab.world.encode import Layout, encode_user
from dzbgp.ledger.errors import ClusterMismatchError
from dzbgp.ledger.submit.packing import TransactionBuilder
from dzbgp.ledger.submit.preflight import check_balances
from dzbgp.run.authorize import authorizer

OWN_RENT = 890_880


@pytest.fixture
def one() -> Iterator[Stage]:
    with stage(users=3) as made:
        yield made


def nothing_was_sent(*stages: Stage) -> bool:
    return all(
        made.sent() == 0 and made.ledger.stats().requests.get("simulateTransaction", 0) == 0
        for made in stages
    )


def short_of(made: Stage, low_balance: int = 0, priority_fee: int = 0) -> dict[Pubkey, str]:
    builder = TransactionBuilder(made.world.program_id, priority_fee)
    return made.ask(lambda client: check_balances(client, builder, made.writes, low_balance))


# The cluster


def test_a_genesis_hash_that_is_not_the_expected_one_stops_before_any_write(one: Stage) -> None:
    with one.session(genesis_hash="1" * 32) as session, pytest.raises(ClusterMismatchError) as raised:
        session.write(one.writes, one.signers, authorize=authorizer())
    assert f"expected {'1' * 32} (localnet); nothing was written" in str(raised.value)
    assert nothing_was_sent(one)


@pytest.mark.parametrize("first", [True, False])
def test_an_rpc_of_another_cluster_among_several_stops_before_any_write(one: Stage, first: bool) -> None:
    with stage(users=3) as other:
        genesis = other.become_another_cluster()
        urls = (other.url, one.url) if first else (one.url, other.url)
        with one.session(*urls) as session, pytest.raises(ClusterMismatchError) as raised:
            session.write(one.writes, one.signers, authorize=authorizer())
        assert genesis in str(raised.value)
        assert "nothing was written" in str(raised.value)
        assert nothing_was_sent(one, other)


def test_the_genesis_hash_that_was_expected_lets_the_writes_pass(one: Stage) -> None:
    [(_, genesis)] = one.ask(lambda client: client.genesis_hashes())
    with one.session(genesis_hash=genesis) as session:
        assert outcomes(session.write(one.writes, one.signers, authorize=authorizer()).submissions) == {
            "landed": 3
        }


def test_one_rpc_and_no_expectation_leave_nothing_to_ask(one: Stage) -> None:
    with one.session() as session:
        session.write(one.writes, one.signers, authorize=authorizer())
    assert "getGenesisHash" not in one.ledger.stats().requests


def test_an_rpc_that_does_not_say_which_cluster_it_serves_is_not_asked_to_send(one: Stage) -> None:
    with stage(users=3) as silent:
        silent.inject(Kind.HTTP_STATUS, status=403, times=None)
        with one.session(silent.url, one.url) as session:
            done = session.write(one.writes, one.signers, authorize=authorizer())
        assert outcomes(done.submissions) == {"landed": 3}
        assert silent.ledger.stats().requests == {"getGenesisHash": 1}


def test_when_no_rpc_says_which_cluster_it_serves_nothing_is_sent_and_that_is_reported(one: Stage) -> None:
    one.inject(Kind.HTTP_STATUS, method="getGenesisHash", status=403, times=None)
    with one.session(one.url, one.url) as session:
        done = session.write(one.writes, one.signers, authorize=authorizer())
    assert outcomes(done.submissions) == {"failed": 3}
    assert "nothing was sent: RPC" in (done.submissions[one.writes[0].user].error or "")
    assert nothing_was_sent(one)


# Balances


def test_enough_for_the_fee_and_to_live_is_enough(one: Stage) -> None:
    publisher = one.writes[0].publisher
    one.ledger.set_balance(publisher, 5_000 + OWN_RENT)
    assert short_of(one) == {}
    one.ledger.set_balance(publisher, 5_000 + OWN_RENT - 1)
    assert list(short_of(one)) == [publisher]


def test_a_publisher_who_was_never_funded_is_told_so(one: Stage) -> None:
    one.ledger.set_balance(one.writes[0].publisher, 0)
    [error] = short_of(one).values()
    assert error == (
        f"publisher {one.writes[0].publisher} has 0.000000 SOL, but its transactions (1) take 0.000896 SOL (fees "
        "0.000005 SOL, rent of growing accounts 0.000000 SOL, own rent 0.000891 SOL); its transactions were "
        "not sent. Fund it"
    )


def test_who_can_not_pay_is_reported_and_everybody_else_is_written() -> None:
    with stage(3, 4) as made:
        poor = made.keypairs["tidewater"].pubkey()
        made.ledger.set_balance(poor, 800_000)
        with made.session() as session:
            done = session.write(made.writes, made.signers, authorize=authorizer())
        assert outcomes(done.submissions) == {"landed": 8, "failed": 4}
        for write in made.writes:
            failed = write.publisher == poor
            assert (f"publisher {poor} has" in (done.submissions[write.user].error or "")) == failed
        made.check(done.submissions)


def test_the_rent_of_accounts_that_grow_must_be_there_as_well(one: Stage) -> None:
    for spec in one.world.users:
        # The lab leaves an account what it had: as if it had just its rent when it was shorter.
        data = encode_user(spec.user, Layout.OLDEST)
        one.ledger.set_account(spec.user.pubkey, data)
        one.ledger.set_balance(spec.user.pubkey, rent(one, len(data)))
    one.writes = writes_of(one.world, one.ledger)
    grown = {(write.grown_len, write.lamports) for write in one.writes}
    [(grown_len, lamports)] = grown
    publisher = one.writes[0].publisher
    needed = 5_000 + OWN_RENT + 3 * (rent(one, grown_len) - lamports)
    one.ledger.set_balance(publisher, needed - 1)
    assert list(short_of(one)) == [publisher]
    one.ledger.set_balance(publisher, needed)
    assert short_of(one) == {}
    done = one.submit()
    one.check(done.submissions)
    assert one.ledger.balance(publisher) == OWN_RENT


def test_the_priority_fee_must_be_there_as_well(one: Stage) -> None:
    one.ledger.set_balance(one.writes[0].publisher, 5_000 + OWN_RENT)
    assert len(short_of(one, priority_fee=1_000_000)) == 1


def test_a_low_balance_is_warned_about_and_written_with(one: Stage, caplog: pytest.LogCaptureFixture) -> None:
    one.ledger.set_balance(one.writes[0].publisher, SOL // 4)
    with one.session(low_balance=SOL // 2) as session:
        done = session.write(one.writes, one.signers, authorize=authorizer())
    assert outcomes(done.submissions) == {"landed": 3}
    assert f"publisher {one.writes[0].publisher} is low: 0.250000 SOL; fund it" in caplog.text


def test_a_balance_above_the_threshold_is_not_warned_about(
    one: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    one.ledger.set_balance(one.writes[0].publisher, SOL)
    with caplog.at_level(logging.WARNING, logger="dzbgp"), one.session(low_balance=SOL // 2) as session:
        session.write(one.writes, one.signers, authorize=authorizer())
    assert "is low" not in caplog.text


def test_when_balances_can_not_be_read_nothing_is_sent(one: Stage) -> None:
    one.inject(Kind.RPC_ERROR, method="getMultipleAccounts", times=None)
    with one.session() as session:
        done = session.write(one.writes, one.signers, authorize=authorizer())
    assert outcomes(done.submissions) == {"failed": 3}
    assert nothing_was_sent(one)


def test_a_node_that_does_not_know_the_blockhash_leaves_the_fee_to_be_reckoned(one: Stage) -> None:
    one.inject(Kind.STALE_SLOT, method="getFeeForMessage", slots=900, times=None)
    one.ledger.set_balance(one.writes[0].publisher, 5_000 + OWN_RENT)
    assert short_of(one) == {}


def rent(made: Stage, size: int) -> int:
    return made.ask(lambda client: client.minimum_balance(size))
