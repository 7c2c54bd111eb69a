"""User tokens: the only module that knows JWT.

A token is checked against one shared secret or against the public keys at one URL, never both, and
nothing in its header chooses where keys come from or which kind of algorithm is used.
"""

import asyncio
import hashlib
import json
import math
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Protocol

import anyio.to_thread
import jwt
import structlog

from gpt_assistant_api.domain.errors import (
    ConfigurationError,
    InvalidError,
    UnauthenticatedError,
    UnavailableError,
)
from gpt_assistant_api.domain.users import checked_user_id

LEEWAY_SECONDS = 30
MAX_TOKEN_CHARACTERS = 8_192

# A key that its issuer withdraws is honoured this long, and CACHED_SECONDS more for a token that is
# remembered; one that it adds is found after the pause.
KEYS_SECONDS = 300
REFRESH_PAUSE_SECONDS = 30
FAILURE_PAUSE_SECONDS = 5
FETCH_SECONDS = 5
MAX_KEYS_BYTES = 256 * 1024

# Checking a signature costs 70 to 170 us of the event loop, remembering one 3 us.
CACHED_TOKENS = 4_096
CACHED_SECONDS = 60

_SYMMETRIC: tuple[str, ...] = ("HS256",)
_ASYMMETRIC: tuple[str, ...] = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)

# Stricter than the library, which also takes padding: a token has one spelling.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Keys(Protocol):
    """Where the key of a token comes from."""

    algorithms: tuple[str, ...]

    async def find(self, kid: str | None, /) -> jwt.PyJWK | None:
        """Return the key, None when there is none. Raises UnavailableError when none can be had."""
        ...


class TokenVerifier:
    """Turns a token into the user that it speaks for, or refuses it without saying why.

    A decision is remembered for the whole token, never past its expiry, and for a minute at most.
    """

    def __init__(self, keys: Keys, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verified: dict[bytes, tuple[str, float]] = {}

    async def verify(self, token: str) -> str:
        """Return the user id of a current token issued for this service.

        Raises UnauthenticatedError for any other, UnavailableError when the keys cannot be fetched.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
            raise _refusal()
        digest = hashlib.sha256(token.encode("ascii")).digest()
        user_id, until = self._verified.get(digest, ("", 0.0))
        if time.time() < until:
            return user_id
        try:
            claims = await self._claims(token)
            user_id = checked_user_id(claims["sub"])
        except (jwt.PyJWTError, InvalidError):
            raise _refusal() from None
        self._remember(digest, user_id, claims["exp"])
        return user_id

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        # Before any key is looked for: a token of the wrong kind causes no request.
        if header.get("alg") not in self._keys.algorithms:
            raise jwt.InvalidAlgorithmError
        key = await self._keys.find(header.get("kid"))
        if key is None:
            raise jwt.InvalidKeyError
        claims = jwt.decode(
            token,
            key,
            algorithms=self._keys.algorithms,
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "enforce_minimum_key_length": True,
            },
        )
        # The library also takes a moment that is spelt as a string, or true.
        if not all(type(claims.get(name, 0)) in (int, float) for name in ("exp", "nbf", "iat")):
            raise jwt.InvalidTokenError
        return claims

    def _remember(self, digest: bytes, user_id: str, expires: float) -> None:
        self._verified.pop(digest, None)
        if len(self._verified) >= CACHED_TOKENS:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = user_id, min(expires, time.time() + CACHED_SECONDS)


class SharedSecret:
    """One secret for all tokens."""

    algorithms = _SYMMETRIC

    def __init__(self, secret: str) -> None:
        encoded = jwt.utils.base64url_encode(secret.encode()).decode("ascii")
        self._key = jwt.PyJWK({"kty": "oct", "k": encoded}, algorithm="HS256")

    async def find(self, _kid: str | None, /) -> jwt.PyJWK | None:
        """Return the secret; a token need not name it."""
        return self._key


class RemoteKeys:
    """The public keys at a JWKS URL, fetched when needed, by one request at a time, with pauses.

    `jwt.PyJWKClient` is not used: it reads answers of any size, asks again for every token while
    the URL fails, and lets callers wait for its lock in threads.
    """

    algorithms = _ASYMMETRIC

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fresh_until = -math.inf
        self._next_fetch = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, /) -> jwt.PyJWK | None:
        """Return the key with this id; a token must name one."""
        if kid is None:
            return None
        key = self._fresh(kid)
        if key is None:
            await self._fetch_if_due()
            key = self._fresh(kid)
        if key is None and self._failed:
            raise UnavailableError(
                "Tokens cannot be checked now: their keys cannot be fetched.",
                code="token_keys_unavailable",
                retry_after_seconds=FAILURE_PAUSE_SECONDS,
            )
        return key

    def _fresh(self, kid: str) -> jwt.PyJWK | None:
        return self._keys.get(kid) if time.monotonic() < self._fresh_until else None

    async def _fetch_if_due(self) -> None:
        if self._fetching is None and time.monotonic() >= self._next_fetch:
            self._fetching = asyncio.create_task(self._fetch())
        if self._fetching is not None:
            # The fetch is everybody's: it goes on when the caller that began it goes away.
            await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        pause = FAILURE_PAUSE_SECONDS
        self._failed = True
        try:
            with anyio.fail_after(2 * FETCH_SECONDS):
                self._keys = await anyio.to_thread.run_sync(
                    _download, self._url, abandon_on_cancel=True
                )
            self._failed = False
            self._fresh_until = time.monotonic() + KEYS_SECONDS
            pause = REFRESH_PAUSE_SECONDS
        except Exception as error:  # whatever the URL answers must not become a crash of ours
            log.warning("keys of user tokens not fetched", error=type(error).__name__)
        finally:
            self._next_fetch = time.monotonic() + pause
            self._fetching = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the configured address and from nowhere that it points to."""

    def redirect_request(self, *_: object) -> None:
        return None


def open_verifier(
    secret: str | None, jwks_url: str | None, issuer: str, audience: str
) -> TokenVerifier:
    """Return a verifier for tokens signed with the secret, or with a key found at the URL."""
    if (secret is None) == (jwks_url is None):
        raise ConfigurationError("Set either JWT_SECRET or JWT_JWKS_URL.")
    if jwks_url is None:
        keys: Keys = SharedSecret(secret or "")
    elif urllib.parse.urlsplit(jwks_url).scheme in ("http", "https"):
        keys = RemoteKeys(jwks_url)
    else:
        raise ConfigurationError("JWT_JWKS_URL must begin with https:// or http://.")
    return TokenVerifier(keys, issuer=issuer, audience=audience)


def _download(url: str) -> dict[str, jwt.PyJWK]:
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(url, timeout=FETCH_SECONDS) as response:
            body = response.read(MAX_KEYS_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise
    if len(body) > MAX_KEYS_BYTES:
        raise ValueError("the key set is too large")
    return {
        key.key_id: key
        for key in jwt.PyJWKSet.from_dict(json.loads(body))
        if key.key_id and key.public_key_use in ("sig", None) and key.algorithm_name in _ASYMMETRIC
    }


def _refusal() -> UnauthenticatedError:
    return UnauthenticatedError(
        "The token is not one that this service accepts.", code="credentials_invalid"
    )
