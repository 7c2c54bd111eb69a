"""Keys: make, list, revoke, and know one when it is shown."""

from gpt_assistant_api import db
from gpt_assistant_api.db import keys
from gpt_assistant_api.domain.clock import utc_now
from gpt_assistant_api.domain.errors import NotFoundError, UnauthenticatedError
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.keys import (
    PREFIX_CHARACTERS,
    ApiKey,
    hash_secret,
    is_secret_of,
    new_secret,
)
from gpt_assistant_api.domain.text import checked_text
from gpt_assistant_api.domain.users import Actor


async def create_key(database: db.Database, name: str) -> tuple[ApiKey, str]:
    """Make a key and return it with its secret, which is stored nowhere and shown once."""
    secret = new_secret()
    key = ApiKey(
        key_id=new_id("key"),
        name=checked_text(name, field="name", limit=200),
        hash=hash_secret(secret),
        prefix=secret[:PREFIX_CHARACTERS],
        created_at=utc_now(),
        revoked_at=None,
    )
    async with database.write() as tx:
        await keys.insert_key(tx, key)
    return key, secret


async def list_keys(database: db.Database) -> list[ApiKey]:
    """Return all keys, revoked ones too, oldest first."""
    async with database.read() as tx:
        return await keys.fetch_keys(tx)


async def revoke_key(database: db.Database, key_id: str) -> None:
    """Revoke a key: within seconds it opens nothing. Raises NotFoundError."""
    async with database.write() as tx:
        if not await keys.revoke_key(tx, key_id, utc_now()):
            raise NotFoundError("There is no such key that is still good.", code="key_not_found")


async def has_keys(database: db.Database) -> bool:
    """Tell whether keys are in use, which ends open mode."""
    async with database.read() as tx:
        return await keys.has_keys(tx)


async def authenticate_key(database: db.Database, secret: str) -> Actor:
    """Return the actor that a key speaks for, or raise UnauthenticatedError."""
    async with database.read() as tx:
        key = await keys.fetch_key(tx, hash_secret(secret))
    if key is None or key.revoked_at is not None or not is_secret_of(key, secret):
        raise UnauthenticatedError("This key is not valid.", code="credentials_invalid")
    return Actor(kind="key", credential_id=key.key_id)
