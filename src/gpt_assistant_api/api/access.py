"""Who is speaking: from the one place where credentials are, the Authorization header."""

from dataclasses import dataclass
from time import monotonic

from starlette.datastructures import Headers

from gpt_assistant_api.domain.errors import UnauthenticatedError
from gpt_assistant_api.domain.keys import hash_secret, looks_like_key
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.runtime import Runtime
from gpt_assistant_api.services import keys

_REMEMBERED_SECONDS = 3.0
_REMEMBERED_KEYS = 1_000
OPEN = Actor(kind="open", credential_id="open")


@dataclass(slots=True)
class _Remembered:
    actor: Actor
    until: float


class Access:
    """Turns credentials into actors. A key that was good is not looked up again for 3 s."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._keys: dict[str, _Remembered] = {}

    async def actor_of(self, headers: Headers) -> Actor:
        """Return who is speaking or raise UnauthenticatedError."""
        if self._runtime.open_mode:
            return OPEN
        credential = _bearer(headers)
        if looks_like_key(credential):
            return await self._actor_of_key(credential)
        if self._runtime.tokens is None:
            raise UnauthenticatedError("This key is not valid.", code="credentials_invalid")
        user_id = await self._runtime.tokens.verify(credential)
        return Actor(kind="user", credential_id=user_id, user_id=user_id)

    async def _actor_of_key(self, credential: str) -> Actor:
        name, now = hash_secret(credential), monotonic()
        remembered = self._keys.get(name)
        if remembered is not None and remembered.until > now:
            return remembered.actor
        actor = await keys.authenticate_key(self._runtime.database, credential)
        if len(self._keys) >= _REMEMBERED_KEYS:
            self._keys.clear()
        self._keys[name] = _Remembered(actor, now + _REMEMBERED_SECONDS)
        return actor


def _bearer(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if not values:
        raise UnauthenticatedError(
            "A key or a token is needed: Authorization: Bearer ...", code="credentials_missing"
        )
    scheme, _, credential = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not credential.strip():
        raise UnauthenticatedError(
            "One header is needed: Authorization: Bearer ...", code="credentials_invalid"
        )
    return credential.strip()
