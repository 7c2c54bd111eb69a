"""Queries on `api_keys`."""

from datetime import datetime

from gpt_assistant_api.db.database import Tx
from gpt_assistant_api.domain.keys import ApiKey

_COLUMNS = "key_id, name, hash, prefix, created_at, revoked_at"


async def insert_key(tx: Tx, key: ApiKey) -> None:
    """Store the hash of a new key."""
    await tx.execute(
        f"INSERT INTO api_keys ({_COLUMNS})"
        " VALUES (:key_id, :name, :hash, :prefix, :created_at, :revoked_at)",
        key_id=key.key_id,
        name=key.name,
        hash=key.hash,
        prefix=key.prefix,
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )


async def lock_key(tx: Tx, key_id: str) -> None:
    """Have every other transaction that locks this key wait until this one ends."""
    if tx.dialect == "postgresql":  # on SQLite there is one writer at a time
        await tx.fetch_one(
            "SELECT key_id FROM api_keys WHERE key_id = :key_id FOR NO KEY UPDATE", key_id=key_id
        )


async def fetch_key(tx: Tx, key_hash: str) -> ApiKey | None:
    """Return the key with this hash, revoked or not."""
    row = await tx.fetch_one(f"SELECT {_COLUMNS} FROM api_keys WHERE hash = :hash", hash=key_hash)
    return ApiKey(**row) if row else None


async def fetch_keys(tx: Tx) -> list[ApiKey]:
    """Return all keys, oldest first."""
    rows = await tx.fetch_all(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, key_id")
    return [ApiKey(**row) for row in rows]


async def has_keys(tx: Tx) -> bool:
    """Tell whether a key was ever made; a revoked one counts, so that revoking opens nothing."""
    return await tx.fetch_one("SELECT key_id FROM api_keys LIMIT 1") is not None


async def revoke_key(tx: Tx, key_id: str, revoked_at: datetime) -> bool:
    """Revoke a key; False when there is none with this id that is still good."""
    changed = await tx.execute(
        "UPDATE api_keys SET revoked_at = :revoked_at"
        " WHERE key_id = :key_id AND revoked_at IS NULL",
        key_id=key_id,
        revoked_at=revoked_at,
    )
    return changed > 0
