"""Queries on `idempotency_keys`: what was asked under a key, and the run that came of it."""

from dataclasses import dataclass
from datetime import datetime

from gpt_assistant_api.db.database import Tx


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request that was made under an idempotency key."""

    fingerprint: str
    run_id: str


async def lock_key(tx: Tx, user_id: str, key: str) -> None:
    """Have every other transaction that uses this key wait until this one ends."""
    if tx.dialect == "postgresql":  # on SQLite there is one writer at a time
        await tx.fetch_one(
            "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))",
            name=f"idempotency {len(user_id)} {user_id} {key}",
        )


async def fetch_request(tx: Tx, user_id: str, key: str) -> KnownRequest | None:
    """Return what this user asked under this key."""
    row = await tx.fetch_one(
        "SELECT fingerprint, run_id FROM idempotency_keys WHERE user_id = :user_id AND key = :key",
        user_id=user_id,
        key=key,
    )
    return KnownRequest(**row) if row else None


async def insert_request(
    tx: Tx, user_id: str, key: str, request: KnownRequest, created_at: datetime
) -> None:
    """Remember a request under a key that this transaction has locked."""
    await tx.execute(
        "INSERT INTO idempotency_keys (user_id, key, fingerprint, run_id, created_at)"
        " VALUES (:user_id, :key, :fingerprint, :run_id, :created_at)",
        user_id=user_id,
        key=key,
        fingerprint=request.fingerprint,
        run_id=request.run_id,
        created_at=created_at,
    )


async def delete_requests(tx: Tx, *, created_before: datetime) -> int:
    """Forget keys that are older than this."""
    return await tx.execute(
        "DELETE FROM idempotency_keys WHERE created_at < :created_before",
        created_before=created_before,
    )
