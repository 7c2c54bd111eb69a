"""Service keys: made once, shown once, known afterwards by their hash alone.

A key holds 256 random bits, so a plain SHA-256 is enough: there is nothing to guess, and nothing
that a slow hash would make harder.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

# Short enough that what lists and logs show never holds eight characters of the key.
PREFIX_CHARACTERS = 7

_KEY = re.compile(r"gaa_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A row of `api_keys`. `prefix` begins the secret, for people to tell keys apart."""

    key_id: str
    name: str
    hash: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


def new_secret() -> str:
    """Return `gaa_` and 256 random bits in url-safe characters."""
    return f"gaa_{secrets.token_urlsafe(32)}"


def hash_secret(secret: str) -> str:
    """Return what is stored of a key: its SHA-256 in hex."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def looks_like_key(credential: str) -> bool:
    """Tell whether a credential has the form of a key; a JWT, which has dots, never does."""
    return _KEY.fullmatch(credential) is not None


def is_secret_of(key: ApiKey, secret: str) -> bool:
    """Tell whether `secret` is this key's, in a time that says nothing about the difference."""
    return hmac.compare_digest(hash_secret(secret).encode(), key.hash.encode())
