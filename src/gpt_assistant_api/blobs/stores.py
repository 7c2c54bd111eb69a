"""Where blobs are, by URL: the local disk, memory, or an object store such as S3."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
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

if TYPE_CHECKING:
    from obstore.store import ClientConfig

Store = AzureStore | GCSStore | HTTPStore | LocalStore | MemoryStore | S3Store

_REMOTE = frozenset({"s3", "gs", "az"})
_ENDPOINTS = (
    *("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    *("AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"),
)
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

    What they leave open comes from where its tools look for it (`AWS_ACCESS_KEY_ID`,
    `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on).
    """
    address, _, query = url.partition("?")
    options: Any = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    endpoints = [options.get("endpoint", ""), *(os.environ.get(name, "") for name in _ENDPOINTS)]
    plain: ClientConfig = (
        {"allow_http": True} if any(place.startswith("http://") for place in endpoints) else {}
    )
    return from_url(
        address,
        config=options,
        client_options={"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, **plain},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
    )


def explained(error: BaseException | None) -> ConfigurationError | None:
    """Return what is wrong with the setting; None for what may pass by itself."""
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(
            "FILES_URL: there is no such bucket or container, or no such folder. Create it first."
        )
    if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
        return ConfigurationError(
            "FILES_URL: the store refuses these credentials, or they may not read, write and"
            " delete. They stand behind the question mark or where the cloud's tools look for them."
        )
    if isinstance(error, PermissionError):
        return ConfigurationError("FILES_URL or DATA_DIR: the folder cannot be written.")
    return None
