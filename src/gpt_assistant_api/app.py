"""Build the parts, wire them, serve. The only module that knows all of them."""

import asyncio
import os
import secrets
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FrameType
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gpt_assistant_api import db
from gpt_assistant_api.api import rest
from gpt_assistant_api.api.chat import chat_page
from gpt_assistant_api.api.guard import RequestContext, SecurityHeaders
from gpt_assistant_api.blobs import Blobs, open_blobs
from gpt_assistant_api.domain.asks import RunLimits
from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError
from gpt_assistant_api.domain.ids import new_id
from gpt_assistant_api.domain.streams import OpenStreams
from gpt_assistant_api.engine import complete, open_engine, working
from gpt_assistant_api.limits import Limiter, open_limiter
from gpt_assistant_api.llm.choose import choose_api, choose_model, open_model_server
from gpt_assistant_api.logs import configure_logging
from gpt_assistant_api.runtime import Links, Runtime
from gpt_assistant_api.services import keys, upkeep
from gpt_assistant_api.services.answers import Answering
from gpt_assistant_api.services.workers import Worker
from gpt_assistant_api.settings import Settings, load_settings
from gpt_assistant_api.telemetry import Telemetry, open_telemetry
from gpt_assistant_api.telemetry.listener import serving_metrics
from gpt_assistant_api.telemetry.metrics import Readings
from gpt_assistant_api.telemetry.tracing import describe_model_server, open_tracing
from gpt_assistant_api.worker import executor
from gpt_assistant_api.worker.schedule import looking_after

if TYPE_CHECKING:
    from gpt_assistant_api.tokens import TokenVerifier

_FILES_SECONDS = 5.0
_LINK_SECRET_BYTES = 64

log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, processes: int = 1) -> ASGIApp:
    """Return the whole program as an ASGI application that opens its parts at start.

    `processes` of the same settings are started side by side.
    """
    telemetry = make_telemetry(settings)
    face = rest.create_app(telemetry=telemetry.of_requests(), home=chat_page())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with open_runtime(settings, telemetry, processes=processes) as runtime:
            rest.attach(face, runtime)
            if runtime.open_mode:
                log.warning("open mode: no keys and no tokens are configured, loopback only")
            with _stopping_on_signals(runtime.engine.begin_stop):
                yield

    face.router.lifespan_context = lifespan
    app: ASGIApp = rest.guarded(face)
    if settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "Prefer",
            ],
            expose_headers=[
                *("X-Request-Id", "Retry-After", "Location"),
                *("RateLimit", "RateLimit-Policy"),
            ],
        )
    return RequestContext(SecurityHeaders(app), telemetry.metrics.requests)


@asynccontextmanager
async def open_runtime(
    settings: Settings, telemetry: Telemetry, *, processes: int = 1
) -> AsyncGenerator[Runtime, None]:
    """Open every part, execute runs while the block lasts, and close everything after it.

    Raises ConfigurationError naming the setting that is wrong.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(telemetry.close)
        stack.enter_context(db.lock_for_server(settings.effective_database_url))
        database = await db.open_database(
            settings.effective_database_url, max_connections=settings.database_connections
        )
        stack.push_async_callback(database.close)
        blobs = await _open_files(settings)
        engine = await stack.enter_async_context(
            open_engine(_redis_url(settings), on_end=telemetry.run_ended)
        )
        worker = await _open_worker(settings, database, stack, embedded=engine.embedded)
        link_secret = _link_secret(settings)
        limiter = _limiter(settings, engine.redis_pool, link_secret)
        key, base_url = _secret(settings.openai_api_key), settings.openai_base_url
        model_server = open_model_server(
            settings.model_api, key, base_url, settings.model_timeout_seconds
        )
        stack.push_async_callback(model_server.close)
        answering = Answering(
            database=database,
            blobs=blobs,
            engine=engine,
            model_server=model_server,
            model=await choose_model(model_server, settings.model),
            instructions=settings.instructions,
            history_tokens=settings.history_tokens,
            worker_id=worker.worker_id,
            telemetry=telemetry,
        )
        runtime = Runtime(
            database=database,
            blobs=blobs,
            engine=engine,
            limiter=limiter,
            tokens=_verifier(settings),
            links=Links(link_secret, settings.link_seconds),
            streams=_open_streams(settings),
            run_limits=_run_limits(settings),
            max_body_bytes=settings.max_upload_bytes,
            default_image_prompt=settings.default_image_prompt,
            model_api=choose_api(settings.model_api, api_key=key, base_url=base_url),
            open_mode=not settings.has_tokens and not await keys.has_keys(database),
            telemetry=telemetry,
        )
        await stack.enter_async_context(_showing_metrics(runtime, settings, processes))
        engine.register(executor(answering))
        await stack.enter_async_context(_being_there(worker))
        await stack.enter_async_context(working(engine, concurrency=settings.run_concurrency))
        await stack.enter_async_context(looking_after(runtime, worker, settings.lease_seconds))
        yield runtime


def make_telemetry(settings: Settings) -> Telemetry:
    """Return what a process tells of its work. Raises ConfigurationError."""
    endpoint, base_url = settings.otel_exporter_otlp_endpoint, settings.openai_base_url
    if endpoint is None:
        return open_telemetry()
    api = choose_api(
        settings.model_api, api_key=_secret(settings.openai_api_key), base_url=base_url
    )
    return open_telemetry(open_tracing(endpoint, describe_model_server(api, base_url)))


@asynccontextmanager
async def _showing_metrics(
    runtime: Runtime, settings: Settings, processes: int
) -> AsyncGenerator[None, None]:
    """Have the metrics look at the parts, and serve them on a port where one is set."""
    metrics, port = runtime.telemetry.metrics, settings.metrics_port
    metrics.read_from(
        Readings(
            executing=lambda: runtime.engine.executing,
            pools=runtime.database.pools,
            unfinished=lambda: upkeep.count_unfinished(runtime.database),
        )
    )
    ports = range(port, port + processes) if port is not None else ()
    async with serving_metrics(metrics, settings.host, ports):
        yield


async def _open_worker(
    settings: Settings, database: db.Database, stack: AsyncExitStack, *, embedded: bool
) -> Worker:
    """Return this process among those that execute runs.

    It shows itself alive on a connection of its own: were it to wait behind all that asks, a busy
    process would be taken for a dead one, and others would do its work again.
    """
    alone = embedded and database.dialect == "sqlite"
    if database.dialect != "sqlite":
        database = await db.open_database(
            settings.effective_database_url, migrate=False, max_connections=1
        )
        stack.push_async_callback(database.close)
    return Worker(database, new_id("worker"), alone=alone)


async def _open_files(settings: Settings) -> Blobs:
    """Open the store of files; one that is away may come back, and only files wait for it."""
    blobs = open_blobs(settings.effective_files_url)
    try:
        async with asyncio.timeout(_FILES_SECONDS):
            await blobs.examine()
    except (UnavailableError, TimeoutError):
        log.warning("FILES_URL: the store of files does not answer; files are refused until then")
    return blobs


def _redis_url(settings: Settings) -> str:
    return complete(
        settings.effective_redis_url,
        concurrency=settings.run_concurrency,
        without_password=settings.redis_without_password,
    )


def _limiter(settings: Settings, redis_pool: Any, secret: bytes) -> Limiter:
    return open_limiter(
        redis_pool,
        per_user=settings.requests_per_minute,
        per_key=settings.requests_per_minute_per_key,
        secret=secret,
    )


def _open_streams(settings: Settings) -> OpenStreams:
    return OpenStreams(
        per_user=settings.concurrent_streams,
        per_key=settings.concurrent_streams_per_key,
        per_process=settings.concurrent_streams_per_process,
    )


def _run_limits(settings: Settings) -> RunLimits:
    return RunLimits(
        concurrent_runs=settings.concurrent_runs,
        tokens_per_day=settings.tokens_per_day,
        concurrent_runs_per_key=settings.concurrent_runs_per_key,
        tokens_per_day_per_key=settings.tokens_per_day_per_key,
        storage_bytes=settings.storage_bytes,
    )


@asynccontextmanager
async def _being_there(worker: Worker) -> AsyncGenerator[None, None]:
    """Be one of those who execute runs, until they are handed over."""
    await worker.begin()
    try:
        yield
    finally:
        with suppress(UnavailableError):  # the others find out
            await worker.end()


def _verifier(settings: Settings) -> "TokenVerifier | None":
    if not settings.has_tokens:
        return None
    # Brings all of cryptography along, which nobody else needs.
    from gpt_assistant_api.tokens import open_verifier  # noqa: PLC0415

    assert settings.jwt_issuer and settings.jwt_audience, "the settings see to it"  # noqa: PT018
    return open_verifier(
        _secret(settings.jwt_secret),
        settings.jwt_jwks_url,
        settings.jwt_issuer,
        settings.jwt_audience,
    )


def _link_secret(settings: Settings) -> bytes:
    """Return the configured secret, or one that was made once and is kept in DATA_DIR."""
    if settings.link_secret is not None:
        return settings.link_secret.get_secret_value().encode()
    path = settings.data_dir / "link_secret"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_hex(_LINK_SECRET_BYTES // 2).encode())
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"LINK_SECRET: set it, or make DATA_DIR writable ({error.strerror})"
        ) from None
    if len(secret) < _LINK_SECRET_BYTES:  # an empty one would let everybody make links
        raise ConfigurationError(
            "LINK_SECRET: the file link_secret in DATA_DIR is damaged. Restore it from a backup, or"
            " delete it: links that were given out then end."
        )
    return secret


def _write_once(path: Path, secret: bytes) -> None:
    """Write a file that is there whole or not at all; the first of several writers wins."""
    with NamedTemporaryFile(dir=path.parent) as file:  # readable by its owner alone
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)


def _secret(value: Any) -> str | None:
    return value.get_secret_value() if value is not None else None


class _stopping_on_signals:  # noqa: N801 - reads as a verb where it is used
    """Calls back on SIGTERM and SIGINT, before the server waits for open responses to end."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._kept: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._stop)
            if callable(kept := self._kept[number]):
                kept(number, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            self._kept[number] = signal.getsignal(number)
            signal.signal(number, handle)

    def __exit__(self, *_: object) -> None:
        for number, kept in self._kept.items():
            signal.signal(number, kept)


def __getattr__(name: str) -> ASGIApp:
    """Make `gpt_assistant_api.app:app` when a server asks for it, and not on import."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    return create_app(settings)
