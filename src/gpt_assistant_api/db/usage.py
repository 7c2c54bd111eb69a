"""Queries on `daily_usage` and `daily_key_usage`: what was used, whatever is deleted afterwards."""

from datetime import date
from zlib import crc32

from gpt_assistant_api.db.database import Tx
from gpt_assistant_api.domain.usage import Used

_KEY_PARTS = 16
"""Of one key hundreds of runs may end a second: on one row they would wait for each other."""


async def add_usage(tx: Tx, user_id: str, day: date, used: Used) -> None:
    """Count what a user used on a day."""
    await tx.execute(
        "INSERT INTO daily_usage (user_id, day, runs, input_tokens, output_tokens, total_tokens)"
        " VALUES (:user_id, :day, :runs, :input_tokens, :output_tokens, :total_tokens)"
        " ON CONFLICT (user_id, day) DO UPDATE SET runs = daily_usage.runs + excluded.runs,"
        " input_tokens = daily_usage.input_tokens + excluded.input_tokens,"
        " output_tokens = daily_usage.output_tokens + excluded.output_tokens,"
        " total_tokens = daily_usage.total_tokens + excluded.total_tokens",
        user_id=user_id,
        day=day.isoformat(),
        runs=used.runs,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=used.total_tokens,
    )


async def add_key_tokens(tx: Tx, key_id: str, day: date, tokens: int, *, run_id: str) -> None:
    """Count the tokens of a run for the key that it was asked for with."""
    await tx.execute(
        "INSERT INTO daily_key_usage (key_id, day, part, total_tokens)"
        " VALUES (:key_id, :day, :part, :tokens) ON CONFLICT (key_id, day, part)"
        " DO UPDATE SET total_tokens = daily_key_usage.total_tokens + excluded.total_tokens",
        key_id=key_id,
        day=day.isoformat(),
        part=crc32(run_id.encode()) % _KEY_PARTS,
        tokens=tokens,
    )


async def fetch_usage(tx: Tx, user_id: str, first: date, last: date) -> dict[date, Used]:
    """Return what a user used on each of these days on which there was anything."""
    rows = await tx.fetch_all(
        "SELECT day, runs, input_tokens, output_tokens, total_tokens FROM daily_usage"
        " WHERE user_id = :user_id AND day BETWEEN :first AND :last ORDER BY day",
        user_id=user_id,
        first=first.isoformat(),
        last=last.isoformat(),
    )
    return {date.fromisoformat(row.pop("day")): Used(**row) for row in rows}


async def count_tokens(tx: Tx, user_id: str, day: date) -> int:
    """Return how many tokens a user's runs used on a day."""
    row = await tx.fetch_one(
        "SELECT total_tokens FROM daily_usage WHERE user_id = :user_id AND day = :day",
        user_id=user_id,
        day=day.isoformat(),
    )
    return int(row["total_tokens"]) if row else 0


async def count_key_tokens(tx: Tx, key_id: str, day: date) -> int:
    """Return how many tokens the runs of a key used on a day."""
    row = await tx.fetch_one(
        "SELECT COALESCE(SUM(total_tokens), 0) AS tokens FROM daily_key_usage"
        " WHERE key_id = :key_id AND day = :day",
        key_id=key_id,
        day=day.isoformat(),
    )
    return int(row["tokens"]) if row else 0


async def delete_usage(tx: Tx, user_id: str) -> None:
    """Forget what a user used."""
    await tx.execute("DELETE FROM daily_usage WHERE user_id = :user_id", user_id=user_id)
