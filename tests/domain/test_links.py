import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_assistant_api.domain.links import check, expiry, sign

SECRET = b"a secret that is only used in tests"
FILE = "file_0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000
EXPIRES = NOW + 3_600
SIGNATURE = sign(SECRET, FILE, 256, EXPIRES)
URL_SAFE = string.ascii_letters + string.digits + "-_"


def test_a_link_opens_its_file_until_the_second_it_expires() -> None:
    assert check(SECRET, FILE, 256, EXPIRES, SIGNATURE, NOW)
    assert check(SECRET, FILE, 256, EXPIRES, SIGNATURE, EXPIRES - 0.001)
    assert not check(SECRET, FILE, 256, EXPIRES, SIGNATURE, EXPIRES)
    assert not check(SECRET, FILE, 256, EXPIRES, SIGNATURE, EXPIRES + 1)


@pytest.mark.parametrize(
    ("secret", "file_id", "size", "expires"),
    [
        (SECRET + b"!", FILE, 256, EXPIRES),
        (SECRET, FILE[:-1] + "0", 256, EXPIRES),
        (SECRET, FILE + "\n256", None, EXPIRES),
        (SECRET, FILE + '", 256', 256, EXPIRES),
        (SECRET, FILE + "\ud800", 256, EXPIRES),
        (SECRET, "", 256, EXPIRES),
        (SECRET, FILE, None, EXPIRES),
        (SECRET, FILE, 0, EXPIRES),
        (SECRET, FILE, 64, EXPIRES),
        (SECRET, FILE, 256, EXPIRES + 1),
        (SECRET, FILE, 2561, EXPIRES % 10**9),
    ],
)
def test_a_link_whose_parts_are_changed_opens_nothing(
    secret: bytes, file_id: str, size: int | None, expires: int
) -> None:
    assert not check(secret, file_id, size, expires, SIGNATURE, NOW)


@pytest.mark.parametrize(
    "signature",
    ["", SIGNATURE + "=", SIGNATURE + "A", " " + SIGNATURE, SIGNATURE[:-1], "é" * 43, "\ud800"],
)
def test_a_signature_that_is_spelt_differently_opens_nothing(signature: str) -> None:
    assert not check(SECRET, FILE, 256, EXPIRES, signature, NOW)


def test_no_single_changed_character_of_a_signature_opens_anything() -> None:
    changed = [
        SIGNATURE[:place] + character + SIGNATURE[place + 1 :]
        for place in range(len(SIGNATURE))
        for character in URL_SAFE
        if character != SIGNATURE[place]
    ]
    assert not any(check(SECRET, FILE, 256, EXPIRES, one, NOW) for one in changed)


parts = st.tuples(st.text(), st.none() | st.integers(), st.integers())


@given(parts, parts)
def test_different_links_have_different_signatures(
    one: tuple[str, int | None, int], other: tuple[str, int | None, int]
) -> None:
    signatures = sign(SECRET, *one), sign(SECRET, *other)
    assert (signatures[0] == signatures[1]) == (one == other)
    assert all(len(signature) == 43 and set(signature) <= set(URL_SAFE) for signature in signatures)


@given(st.floats(0, 4e9), st.integers(1, 604_800))
def test_a_link_lives_for_its_lifetime_and_at_most_a_quarter_longer(
    now: float, lifetime: int
) -> None:
    moment = expiry(now, lifetime)
    assert isinstance(moment, int)
    assert now + lifetime <= moment <= now + lifetime + max(1, lifetime // 4)


def test_links_made_in_the_same_quarter_of_a_lifetime_are_the_same() -> None:
    quarter = range(NOW + 1, NOW + 901)
    assert {expiry(now, 3_600) for now in quarter} == {NOW + 4_500}
    assert expiry(NOW + 900.5, 3_600) == NOW + 5_400
