import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gpt_assistant_api.db import open_database
from gpt_assistant_api.db.postgresql import connect
from gpt_assistant_api.db.postgresql_url import parse
from gpt_assistant_api.domain.errors import ConfigurationError, UnavailableError
from tests.faults import PostgresFront, started
from tests.fixtures.certificates import Certificates
from tests.fixtures.postgresql_nodes import PASSWORD, PostgresNode
from tests.processes import free_port


@pytest.fixture
def front(hosted_postgres: PostgresNode, certificates: Certificates) -> Iterator[PostgresFront]:
    """Encrypt what comes to the server, as localhost and not as 127.0.0.1."""
    with started(PostgresFront(hosted_postgres.port, certificates.for_server())) as front:
        yield front


async def works(url: str) -> bool:
    connection = await connect(url)
    try:
        answer: int = await connection.fetchval("SELECT 1")
    finally:
        await connection.close()
    return answer == 1


@pytest.mark.parametrize(
    ("mode", "encrypted"),
    [("disable", 0), ("allow", 0), ("prefer", 1), ("require", 1), (None, 1)],
)
async def test_tls_is_as_the_mode_says(
    hosted_postgres: PostgresNode, front: PostgresFront, mode: str | None, encrypted: int
) -> None:
    options = {"sslmode": mode} if mode else {}
    assert await works(hosted_postgres.url(port=front.port, **options))
    assert front.encrypted == encrypted


async def test_a_server_without_tls_is_good_enough_for_some(
    hosted_postgres: PostgresNode,
) -> None:
    assert await works(hosted_postgres.url(sslmode="prefer"))
    with pytest.raises(UnavailableError, match="sslmode"):
        await connect(hosted_postgres.url(sslmode="require"))


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_server_is_checked_against_its_authority(
    hosted_postgres: PostgresNode, front: PostgresFront, certificates: Certificates, mode: str
) -> None:
    url = hosted_postgres.url(
        port=front.port, sslmode=mode, sslrootcert=str(certificates.authority)
    )
    assert await works(url)
    assert front.encrypted
    elsewhere = url.replace("localhost", "127.0.0.1")
    if mode == "verify-ca":
        assert await works(elsewhere)
    else:
        with pytest.raises(ConfigurationError, match="certificate"):
            await connect(elsewhere)


async def test_the_authorities_of_this_machine_may_be_meant(
    hosted_postgres: PostgresNode,
    front: PostgresFront,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = hosted_postgres.url(port=front.port, sslmode="verify-full", sslrootcert="system")
    with pytest.raises(ConfigurationError, match="certificate"):
        await connect(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    assert await works(url)
    with pytest.raises(ConfigurationError, match="sslcert"):
        await connect(f"{url}&sslcert={certificates.authority}")


async def test_a_client_shows_its_certificate(
    hosted_postgres: PostgresNode, front: PostgresFront, certificates: Certificates
) -> None:
    assert front.tls is not None
    front.tls.verify_mode = ssl.CERT_REQUIRED
    shown = {"sslcert": str(certificates.certificate), "sslkey": str(certificates.key)}
    url = hosted_postgres.url(port=front.port, sslmode="require")
    assert await works(f"{url}&{urlencode(shown)}")
    with pytest.raises((ConfigurationError, UnavailableError), match="DATABASE_URL"):
        await connect(url)
    with pytest.raises(ConfigurationError, match="sslkey"):
        await connect(f"{url}&{urlencode(shown | {'sslkey': '/nowhere'})}")


async def test_a_password_may_have_any_signs(hosted_postgres: PostgresNode) -> None:
    unescaped = PASSWORD.replace("/", "%2F").replace("#", "%23").replace("?", "%3F")
    url = f"postgres://postgres:{unescaped}@127.0.0.1:{hosted_postgres.port}/postgres"
    assert await works(url)


async def test_a_unix_socket_is_named_as_a_host(hosted_postgres: PostgresNode) -> None:
    folder, port = hosted_postgres.folder, hosted_postgres.port
    login = hosted_postgres.url().split("@", maxsplit=1)[0]
    for url in (
        f"{login}@/postgres?host={folder}&port={port}",
        f"{login}@/postgres?host=/nowhere,{folder}&port={port}",
    ):
        assert await works(url)


async def test_options_of_other_clients_are_left_to_them(hosted_postgres: PostgresNode) -> None:
    url = hosted_postgres.url(
        sslmode="prefer", channel_binding="require", connect_timeout="10", gssencmode="disable"
    )
    assert await works(url)
    connection = await connect(hosted_postgres.url(options="-c work_mem=5MB"))
    try:
        assert await connection.fetchval("SHOW work_mem") == "5MB"
        assert await connection.fetchval("SHOW application_name") == "gpt-assistant-api"
    finally:
        await connection.close()


async def test_the_first_host_that_answers_is_taken(
    hosted_postgres: PostgresNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt_assistant_api.db.postgresql_url.CONNECT_SECONDS", 2)
    login, _, here = hosted_postgres.url().partition("@")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        others = f"127.0.0.1:{free_port()},127.0.0.1:{silent.getsockname()[1]}"
        assert await works(f"{login}@{others},{here}")


def test_of_several_hosts_one_that_can_be_written_is_wanted() -> None:
    address = parse("postgresql://a:b@one,two:5433,[::1]:5434/app?sslmode=require")
    assert address.urls == tuple(
        f"postgresql://a:b@{host}/app?sslmode=require&application_name=gpt-assistant-api"
        "&target_session_attrs=read-write"
        for host in ("one", "two:5433", "[::1]:5434")
    )
    [only] = parse("postgresql://one/app").urls
    assert "target_session_attrs" not in only
    any_will_do = parse("postgresql://one,two/app?target_session_attrs=any")
    assert all("target_session_attrs=any" in url for url in any_will_do.urls)


@pytest.mark.parametrize(
    ("broken", "advice"),
    [
        ({"sslmode": "never"}, "option"),
        ({"sslmode": "verify-full", "sslrootcert": "/nowhere"}, "sslrootcert"),
        ({"statement_cache_size": "many"}, "number"),
        ({"work_memory": "much"}, "option"),
    ],
)
async def test_what_is_wrong_with_a_url_is_said(
    hosted_postgres: PostgresNode, broken: dict[str, str], advice: str
) -> None:
    with pytest.raises(ConfigurationError, match=advice) as refusal:
        await connect(f"{hosted_postgres.url()}&{urlencode(broken)}")
    assert "DATABASE_URL" in str(refusal.value)
    assert PASSWORD not in str(refusal.value)


async def test_a_database_that_does_not_exist_is_to_be_created(
    hosted_postgres: PostgresNode,
) -> None:
    with pytest.raises(ConfigurationError, match="init-db"):
        await connect(hosted_postgres.url("nowhere"))


async def test_a_wrong_password_is_said_and_not_repeated(hosted_postgres: PostgresNode) -> None:
    url = f"postgresql://postgres:sesame@127.0.0.1:{hosted_postgres.port}/postgres"
    with pytest.raises(ConfigurationError, match="user and password") as refusal:
        await open_database(url)
    assert "sesame" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:ses/ame@127.0.0.1/app",
        "postgresql://ada:ses#ame@127.0.0.1/app",
        "postgresql://ada:ses?ame@127.0.0.1/app",
        "postgresql://ada:sesame@",
        "postgresql://ada:sesame@127.0.0.1:port/app",
        "postgresql://ada:sesame@[::1/app",
        "postgresql:///app?host=a,b,c&port=1,2",
    ],
)
async def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as refusal:
        await connect(url)
    assert "ame" not in str(refusal.value).replace("named", "").replace("names", "")


async def test_a_server_that_is_away_is_told_from_one_that_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt_assistant_api.db.postgresql_url.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for url, reason in (
            (f"postgresql://a:sesame@127.0.0.1:{free_port()}/app", "nothing listens"),
            (f"postgresql://a:sesame@/app?host={tmp_path}", "nothing listens"),
            ("postgresql://a:sesame@nowhere.invalid/app", "host is not known"),
            (f"postgresql://a:sesame@127.0.0.1:{silent.getsockname()[1]}/app", "no answer"),
        ):
            with pytest.raises(UnavailableError, match=reason) as refusal:
                await connect(url)
            assert "DATABASE_URL" in refusal.value.message
            assert "sesame" not in refusal.value.message
