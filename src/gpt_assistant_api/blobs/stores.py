"""Where blobs are, by URL: the local disk, memory, or an object store such as S3."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import url2pathname

from obstore import exceptions
from obstore.store import (
    AzureStore,
    GCSStore,
    HTTPStore,
    LocalStore,
    MemoryStore,
    S3Store,
    from_url,
)

from gpt_assistant_api.domain.errors import ConfigurationError

Store = AzureStore | GCSStore | HTTPStore | LocalStore | MemoryStore | S3Store

_REMOTE = frozenset({"s3", "gs", "az"})
_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=3)
_RETRIES = 3
_RETRY_TIMEOUT = timedelta(seconds=10)


def open_store(url: str) -> tuple[Store, Path | None]:
    """Return the store, and its folder where it is one; the folder is made.

    Raises ConfigurationError, which never repeats the URL: it may hold a secret.
    """
    try:
        scheme, host, path = urlsplit(url)[:3]
        if scheme == "file" and host in {"", "localhost"} and path.strip("/"):
            folder = Path(url2pathname(path))
            return LocalStore(folder, mkdir=True), folder
        if scheme == "memory":
            return MemoryStore(), None
        if scheme in _REMOTE and host:
            return _open_remote(url), None
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"FILES_URL cannot be opened ({type(error).__name__}): check the folder's rights, or "
            "the bucket and the names of the options behind the question mark."
        ) from None
    raise ConfigurationError(
        "FILES_URL is not understood: file:///absolute/path, s3://bucket/prefix, "
        "gs://bucket/prefix and az://container/prefix are."
    )


def _open_remote(url: str) -> Store:
    """Open an object store; options such as `endpoint` follow a question mark.

    Credentials come from where its tools look for them (`AWS_ACCESS_KEY_ID` and so on).
    """
    address, _, query = url.partition("?")
    options: Any = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    return from_url(
        address,
        config=options,
        client_options={
            "allow_http": options.get("endpoint", "").startswith("http://"),
            "timeout": _TIMEOUT,
            "connect_timeout": _CONNECT_TIMEOUT,
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
    )
