"""The engine on a Redis as it is hosted: TLS, users, sockets, Sentinel; and on none."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from structlog.testing import capture_logs

from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.engine import complete, open_engine
from gpt_assistant_api.engine.redis import connected
from gpt_assistant_api.limits import open_limiter
from tests.faults import FaultyLink, started
from tests.fixtures.certificates import Certificates
from tests.fixtures.redis import RedisServer, listening
from tests.processes import free_port


def completed(url: str) -> str:
    return complete(url, concurrency=10, without_password=False)


async def works(url: str) -> bool:
    """Use everything that is kept in Redis."""
    async with open_engine(completed(url)) as engine:
        engine.register(AsyncMock())
        await engine.events.check()
        assert await engine.submit_run("run_1")
        limiter = open_limiter(engine.redis_pool, per_user=5, per_key=0, secret=b"of this test")
        assert await limiter.hit("user", "ada") is not None
        pool = engine.redis_pool
        assert pool.max_connections == 220
    return True


@pytest.fixture
def front(redis_server: RedisServer, certificates: Certificates) -> Iterator[FaultyLink]:
    """Encrypt what comes to the server, as localhost and not as 127.0.0.1."""
    with started(FaultyLink(redis_server.port, certificates.for_server())) as front:
        yield front


async def test_tls_is_checked_against_its_authority(
    redis_server: RedisServer, front: FaultyLink, certificates: Certificates
) -> None:
    login = f"rediss://:{redis_server.password}@"
    trusted = f"{front.port}/0?ssl_ca_certs={certificates.authority}"
    assert await works(f"{login}localhost:{trusted}")
    for url in (
        f"{login}localhost:{front.port}/0",
        f"{login}127.0.0.1:{trusted}&ssl_check_hostname=true",
    ):
        # On a loop of its own, whose handler hears of each connection that was refused besides.
        with pytest.raises(ConfigurationError, match="certificate") as refusal:
            await asyncio.to_thread(asyncio.run, works(url))
        assert redis_server.password not in str(refusal.value)


async def test_a_user_and_a_socket_are_named_by_the_url(redis_server: RedisServer) -> None:
    password = secrets.token_hex(8)
    async with connected(redis_server.url) as redis:
        await redis.execute_command(
            "ACL", "SETUSER", "ada", "on", f">{password}", "~*", "&*", "+@all"
        )
        await redis.execute_command("ACL", "SETUSER", "eve", "on", f">{password}", "~*", "+get")
    assert await works(redis_server.url.replace(f":{redis_server.password}", f"ada:{password}"))
    assert await works(f"unix://ada:{password}@{redis_server.socket}?db=0")
    with pytest.raises(ConfigurationError, match="may not do"):
        await works(redis_server.url.replace(f":{redis_server.password}", f"eve:{password}"))


async def test_no_option_of_a_url_takes_away_what_is_needed(redis_server: RedisServer) -> None:
    assert await works(f"{redis_server.url}?protocol=3&decode_responses=true&socket_timeout=1")


async def test_the_primary_is_found_by_sentinel(redis_server: RedisServer, tmp_path: Path) -> None:
    port, settings = free_port(), tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor chosen 127.0.0.1 {redis_server.port} 1\n"
        f"sentinel auth-pass chosen {redis_server.password}\n"
    )
    command = [redis_server.executable, str(settings), "--sentinel"]
    sentinel = listening(command, port, tmp_path / "sentinel.log")
    try:
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{port}"
        assert await works(f"redis+sentinel://:{redis_server.password}@{hosts}/chosen/0")
    finally:
        sentinel.kill()
        sentinel.wait(10)


@pytest.mark.parametrize("wrong", [":sesame", "nobody:sesame"])
async def test_a_wrong_password_is_said_and_not_repeated(
    redis_server: RedisServer, wrong: str
) -> None:
    with pytest.raises(ConfigurationError, match="user and password") as refusal:
        await works(redis_server.url.replace(f":{redis_server.password}", wrong))
    assert "REDIS_URL" in str(refusal.value)
    assert "sesame" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sesame@127.0.0.1:port/0",
        "redis://:sesame@127.0.0.1/0?max_connections=many",
        "redis://:sesame@127.0.0.1:1/0?colour=red",
        "redis+sentinel://:sesame@127.0.0.1:1",
    ],
)
async def test_a_url_that_cannot_be_used_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as refusal:
        await works(url)
    assert "sesame" not in str(refusal.value)


async def test_a_redis_that_is_away_is_waited_for_and_the_reason_logged() -> None:
    async def submit(url: str) -> bool:
        async with open_engine(completed(url)) as engine:
            engine.register(AsyncMock())
            return await engine.submit_run("run_1")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        for place, reason in (
            (f"127.0.0.1:{free_port()}", "nothing listens"),
            ("nowhere.invalid:6379", "host is not known"),
            (f"127.0.0.1:{silent.getsockname()[1]}", "no answer"),
        ):
            url = f"redis://:sesame@{place}/0"
            with capture_logs() as logs:
                assert not await asyncio.to_thread(asyncio.run, submit(url))
            assert reason in str(logs)
            assert "REDIS_URL" in str(logs)
            assert "sesame" not in str(logs)
