"""Which user a person means."""

import pytest
from core_builders import key, make_user

from dzbgp.console.words import abbreviated
from dzbgp.diagnostics.explain.find import find_user
from dzbgp.errors import UsageError
from dzbgp.models.ledger import UserStatus

ONE = make_user(1, "169.254.0.0/31", pubkey=key(1), client_ip="198.51.100.1")
TWO = make_user(2, "169.254.0.2/31", pubkey=key(2), client_ip="198.51.100.2")
GONE = make_user(3, "169.254.0.2/31", pubkey=key(3), client_ip="198.51.100.2", status=UserStatus.BANNED)
EVERYONE = (ONE, TWO, GONE)


@pytest.mark.parametrize(
    "text",
    [
        str(ONE.pubkey),
        abbreviated(str(ONE.pubkey)),
        "198.51.100.1",
        "169.254.0.0",
        "169.254.0.1",
        "169.254.0.0/31",
    ],
)
def test_a_user_is_found_by_key_client_ip_and_tunnel(text: str) -> None:
    assert find_user(text, EVERYONE) is ONE


def test_an_activated_user_comes_before_others_of_the_same_address() -> None:
    assert find_user("198.51.100.2", EVERYONE) is TWO
    assert find_user("169.254.0.3", EVERYONE) is TWO
    assert find_user(str(GONE.pubkey), EVERYONE) is GONE


@pytest.mark.parametrize(
    "text", ["198.51.100.9", "", "111", "no such key", f"{ONE.pubkey}"[:4] + "..nope", "....", "300.1.1.1"]
)
def test_a_name_of_nobody_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="expected a key or its first characters"):
        find_user(text, EVERYONE)


def test_a_name_of_several_names_them() -> None:
    both = [make_user(number, pubkey=key(number), client_ip="198.51.100.5") for number in (1, 2)]
    with pytest.raises(UsageError, match=f"2 users match .*{key(1)}.*{key(2)}"):
        find_user("198.51.100.5", both)


def test_the_short_form_of_several_keys_names_them() -> None:
    with pytest.raises(UsageError, match="2 users match"):
        find_user("1111..", (ONE, TWO))
