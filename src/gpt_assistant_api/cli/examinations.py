"""One examination for each part: what is well, in a sentence, or an error that says what to do."""

import asyncio
import os
from pathlib import Path

from gpt_assistant_api import db
from gpt_assistant_api.api.guard import is_loopback_host
from gpt_assistant_api.blobs import open_blobs, original_key
from gpt_assistant_api.cli.addresses import url_of
from gpt_assistant_api.cli.client import Client, ProblemError, UnreachableError
from gpt_assistant_api.cli.listeners import bind
from gpt_assistant_api.db import migrate
from gpt_assistant_api.db.sqlite_file import sqlite_path
from gpt_assistant_api.domain.errors import ConfigurationError, ModelError, UnavailableError
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.text import one_line
from gpt_assistant_api.engine import complete, open_engine
from gpt_assistant_api.llm.choose import choose_api, choose_model, open_model_server
from gpt_assistant_api.services import keys
from gpt_assistant_api.settings import Settings

_PROBE = b"gpt-assistant-api doctor"
_LISTED_MODELS = 10


async def examine_database(settings: Settings) -> str:
    """Read and write the database as it is; create and upgrade nothing."""
    url = settings.effective_database_url
    is_sqlite = url.startswith("sqlite:")
    state = await asyncio.to_thread(migrate.check_schema, url)
    if is_sqlite and state == "empty":
        _check_folder(sqlite_path(url).parent)
        return "SQLite: there is no file yet; the server creates it at its start."
    if is_sqlite and state == "behind":
        return "SQLite: the schema is behind; the server upgrades it at its start."
    database = await db.open_database(url, migrate=False)
    try:
        await database.check()
    finally:
        await database.close()
    name = "SQLite" if is_sqlite else "PostgreSQL"
    return f"{name}: can be read and written, with the schema {migrate.head()}."


def _check_folder(folder: Path) -> None:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise ConfigurationError(
            "DATABASE_URL or DATA_DIR: the folder of the SQLite file cannot be written."
        )


async def examine_files(settings: Settings) -> str:
    """Write, read and delete a file."""
    blobs = open_blobs(settings.effective_files_url)
    try:
        await blobs.examine()
    except UnavailableError as refusal:
        raise ConfigurationError(
            "FILES_URL: the store does not answer, or by an error of its own. Is its address right,"
            " and does it listen?"
        ) from refusal
    key = original_key(new_id("file"))
    await blobs.put(key, _PROBE)
    try:
        is_same = await blobs.get(key) == _PROBE
    finally:
        await blobs.delete([key])
    if not is_same:
        raise ConfigurationError("FILES_URL: what was written there is read differently.")
    place = settings.effective_files_url.partition(":")[0]
    return f"{place}: a file was written, read and deleted."


async def examine_engine(settings: Settings) -> str:
    """Reach Redis, where it is used."""
    if settings.redis_url is None:
        return "Embedded: runs are executed by the one server process."
    url = complete(
        settings.effective_redis_url,
        concurrency=settings.run_concurrency,
        without_password=settings.redis_without_password,
    )
    async with open_engine(url) as engine:
        try:
            await engine.events.check()
        except UnavailableError as refusal:
            raise ConfigurationError(f"REDIS_URL: {refusal.message}") from None
    return "Redis: can be read and written."


async def examine_model_server(settings: Settings) -> str:
    """Ask the model server for its models, and look for MODEL among them."""
    secret = settings.openai_api_key
    key = secret.get_secret_value() if secret else None
    api = choose_api(settings.model_api, api_key=key, base_url=settings.openai_base_url)
    server = open_model_server(
        settings.model_api, key, settings.openai_base_url, settings.model_timeout_seconds
    )
    try:
        if api == "offline":
            return "The offline assistant: set OPENAI_API_KEY or OPENAI_BASE_URL for a model."
        model = await choose_model(server, settings.model)
        try:
            offered = await server.list_models()
        except ModelError as error:
            raise ConfigurationError(
                f"OPENAI_BASE_URL, OPENAI_API_KEY: the models cannot be listed. {error.message}"
            ) from None
    finally:
        await server.close()
    if model not in offered:
        listed = ", ".join(one_line(name, 100) for name in sorted(offered)[:_LISTED_MODELS])
        raise ConfigurationError(f"MODEL is none of those that the server offers: {listed}")
    return f"Answers through {api}, and offers {one_line(model, 100)}."


async def examine_access(settings: Settings) -> str:
    """Tell who may come in, and whether HOST goes with it."""
    if settings.has_tokens:
        return "User tokens are asked for, and keys where there are any."
    if await _has_keys(settings.effective_database_url):
        return "Keys are asked for."
    if not is_loopback_host(settings.host):
        raise ConfigurationError(
            "HOST reaches beyond this machine, and there are neither keys nor user tokens: make a"
            " key with `gpt-assistant-api keys create NAME`, or set JWT_SECRET or JWT_JWKS_URL."
        )
    return "Open mode: whoever is on this machine may do anything."


async def _has_keys(url: str) -> bool:
    if await asyncio.to_thread(migrate.check_schema, url) != "current":
        return False
    database = await db.open_database(url, migrate=False)
    try:
        return await keys.has_keys(database)
    finally:
        await database.close()


async def examine_address(settings: Settings) -> str:
    """Take HOST and PORT for a moment, unless this program has them."""
    url = url_of(settings.host, settings.port)
    try:
        bind(settings.host, settings.port).close()
    except ConfigurationError:
        async with Client(url, None) as client:
            try:
                health = await client.get_health()
            except (ProblemError, UnreachableError):
                health = {}
        if "open_mode" not in health:
            raise
        return f"A server of version {health['version']} is running at {url}."
    return f"{url} is free."
