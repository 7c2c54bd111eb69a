from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gpt_assistant_api.domain.keys import (
    PREFIX_CHARACTERS,
    ApiKey,
    hash_secret,
    is_secret_of,
    looks_like_key,
    new_secret,
)

SECRET = "gaa_" + "aB3-_" * 8 + "xyz"


def test_a_new_secret_is_a_key_of_256_bits_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(looks_like_key(secret) and len(secret) == 4 + 43 for secret in secrets)


def test_a_secret_is_stored_as_its_sha_256() -> None:
    assert (
        hash_secret("gaa_abc") == "c99a81284a60119cea2eb4d70d6dbe12b0123125d7e23616627cc4bcea7d912d"
    )


def test_what_is_shown_of_a_key_is_less_than_eight_of_its_characters() -> None:
    assert PREFIX_CHARACTERS < 8


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "gaa_",
        SECRET[:-1],
        SECRET + "a",
        SECRET + "\n",
        SECRET.upper(),
        " " + SECRET,
        SECRET[:-1] + ".",
        SECRET[:-1] + "é",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    ],
)
def test_what_is_not_letter_by_letter_a_key_does_not_look_like_one(credential: str) -> None:
    assert looks_like_key(SECRET)
    assert not looks_like_key(credential)


@pytest.mark.parametrize("other", ["", SECRET[:-1], SECRET + "a", SECRET.lower(), "é", "\ud800"])
def test_only_the_secret_itself_opens_a_key(other: str) -> None:
    key = ApiKey(
        key_id="key_1",
        name="web",
        hash=hash_secret(SECRET),
        prefix=SECRET[:PREFIX_CHARACTERS],
        created_at=datetime.now(UTC),
        revoked_at=None,
    )
    assert is_secret_of(key, SECRET)
    assert not is_secret_of(key, other)
    assert not is_secret_of(replace(key, hash="é"), SECRET)
