import pytest

from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.engine import complete


def completed(url: str, *, without_password: bool = False) -> str:
    return complete(url, concurrency=100, without_password=without_password)


@pytest.mark.parametrize(
    ("url", "begins"),
    [
        ("redis://:secret@far:6379/0", "redis://:secret@far:6379/0?"),
        ("rediss://ada:secret@far/1", "rediss://ada:secret@far/1?"),
        ("valkeys://ada:secret@far/1", "rediss://ada:secret@far/1?"),
        ("redis://far:6379/0?password=secret", "redis://far:6379/0?"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0?"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0?"),
        ("redis://localhost", "redis://localhost?"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?"),
        ("valkey+sentinel://:secret@a:1,b:2/name/0", "redis+sentinel://:secret@a:1,b:2/name/0?"),
        ("redis+sentinel://127.0.0.1:1,localhost:2/name", "redis+sentinel://127.0.0.1:1,"),
    ],
)
def test_a_url_may_name_any_single_primary(url: str, begins: str) -> None:
    assert completed(url).startswith(begins)


def test_there_are_connections_for_whatever_happens_at_once() -> None:
    assert "max_connections=400" in completed("redis://localhost")
    chosen = completed("redis://localhost?max_connections=20&health_check_interval=60")
    assert "max_connections=20" in chosen
    assert "health_check_interval=60" in chosen


def test_the_embedded_engine_needs_nothing() -> None:
    assert completed("memory://") == "memory://"


@pytest.mark.parametrize(
    "url",
    ["redis://far:6379/0", "redis://ada@far/0", "rediss://far", "redis+sentinel://127.0.0.1,far/n"],
)
def test_a_password_is_needed_beyond_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_WITHOUT_PASSWORD"):
        completed(url)
    assert completed(url, without_password=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "far:6379",
        "http://ada:sesame@far",
        "redis+cluster://ada:sesame@far/0",
        "redis://a:ses#a@h",
    ],
)
def test_a_url_that_cannot_be_used_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as refusal:
        completed(url)
    assert "ses" not in str(refusal.value)
