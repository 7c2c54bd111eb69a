"""The connection to the model server: deadlines, caps, retries, and nothing about answers."""

import asyncio
import io
import math
import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from gpt_assistant_api.domain.errors import (
    ConfigurationError,
    ContextTooLongError,
    ModelError,
    ModelTimeoutError,
)
from gpt_assistant_api.llm.addresses import is_openai
from gpt_assistant_api.llm.failures import QuotaExceededError, read_failure

CONNECT_SECONDS = 10
MAX_RETRIES = 2
MAX_RETRY_AFTER_SECONDS = 20
MAX_TOLD_SECONDS = 86_400
_MAX_ERROR_BYTES = 64 * 1024
_ERROR_BODY_SECONDS = 5
_MAX_LIST_BYTES = 4 * 1024 * 1024
_READ_BUFFER_BYTES = 256 * 1024
_WHOLE_BYTES = 64 * 1024
_FIRST_PAUSE_SECONDS = 0.5


class _FailedTryError(Exception):
    """One try failed; `again` tells whether another makes sense, `pause` when, if it was said."""

    def __init__(self, failure: ModelError, *, again: bool, pause: float | None = None) -> None:
        super().__init__()
        self.failure = failure
        self.again = again
        self.pause = pause


class ModelConnection:
    """The one HTTP session of a process with its model server.

    Only the configured address is ever asked: redirects and proxies from the environment are not
    followed. Raises ConfigurationError when the address or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout_seconds: float,
        *,
        connections: int = 2_000,
    ) -> None:
        self._base_url = _checked_url(base_url)
        self._headers = _key_headers(self._base_url, api_key)
        self._timeout_seconds = timeout_seconds
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_openai(self) -> bool:
        """Whether the server is OpenAI's own, which knows fields that others may refuse."""
        return is_openai(str(self._base_url))

    async def post(self, path: str, body: bytes) -> aiohttp.ClientResponse:
        """Return the response whose status is 200, its body unread.

        Tries again, at most twice, while nothing of an answer has come. The caller releases the
        response, which closes the connection unless everything was read.
        """
        return await self._ask("POST", path, body)

    async def get(self, path: str) -> bytes:
        """Return the whole body, tried like `post`."""
        response = await self._ask("GET", path, None)
        try:
            body = await read_at_most(response, _MAX_LIST_BYTES)
        finally:
            response.release()
        return body

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        tries = 0
        while True:
            try:
                return await self._try(method, path, body)
            except _FailedTryError as failed:
                if tries == MAX_RETRIES or not failed.again:
                    raise failed.failure from None
                pause = failed.pause
            if pause is None:
                pause = _FIRST_PAUSE_SECONDS * 2**tries * random.uniform(0.75, 1)  # noqa: S311 - jitter
            tries += 1
            await asyncio.sleep(pause)

    async def _try(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        try:
            # The socket's own read timeout starts when the request is sent; a server that does
            # not take the request is stopped by this one.
            async with asyncio.timeout(CONNECT_SECONDS + self._timeout_seconds):
                response = await self._open_session().request(
                    method,
                    self._url(path),
                    data=_as_payload(body),
                    allow_redirects=False,
                )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _FailedTryError(_broken(error), again=_was_not_taken(error)) from None
        if response.status == 200:
            return response
        raise await _failed_try(response)

    def _url(self, path: str) -> URL:
        base = self._base_url
        return base.with_path(f"{base.raw_path.rstrip('/')}/{path}", encoded=True, keep_query=True)

    def _open_session(self) -> aiohttp.ClientSession:
        # Made at the first request: a session belongs to the event loop that it was made in.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=CONNECT_SECONDS,
                    sock_connect=CONNECT_SECONDS,
                    sock_read=self._timeout_seconds,
                ),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_READ_BUFFER_BYTES,
                trust_env=False,
            )
        return self._session


def _as_payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """Return what is sent: a large body in pieces, a small one without the thread that takes."""
    return body if body is None or len(body) <= _WHOLE_BYTES else io.BytesIO(body)


async def read_some(response: aiohttp.ClientResponse) -> bytes:
    """Return what has arrived, waiting for something; nothing at the end of the body.

    Raises ModelTimeoutError and ModelError when the connection falls silent or breaks.
    """
    try:
        return await response.content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise _broken(error) from None


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the whole body; raises ModelError when it is longer than `limit`."""
    body = bytearray()
    while chunk := await read_some(response):
        body += chunk
        if len(body) > limit:
            raise ModelError("The model server's answer is too large.")
    return bytes(body)


async def error_body(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of a body that only explains a failure, whatever happens to the rest."""
    body = bytearray()
    with suppress(TimeoutError, ModelError):
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            while len(body) < _MAX_ERROR_BYTES and (chunk := await read_some(response)):
                body += chunk
    return bytes(body[:_MAX_ERROR_BYTES])


async def _failed_try(response: aiohttp.ClientResponse) -> _FailedTryError:
    try:
        body = await error_body(response)
    finally:
        response.release()
    pause = _asked_pause(response.headers)
    failure = read_failure(
        body,
        status=response.status,
        retry_after_seconds=None if pause is None else math.ceil(pause),
    )
    again = response.status in {408, 409, 429} or response.status >= 500
    again = again and not isinstance(failure, QuotaExceededError | ContextTooLongError)
    told = response.headers.get("x-should-retry", "").strip().lower()
    again = told == "true" if told in {"true", "false"} else again
    if pause is not None and pause > MAX_RETRY_AFTER_SECONDS:
        again = False
    return _FailedTryError(failure, again=again, pause=pause)


def _asked_pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks for, if it asks and can be understood."""
    seconds = _told_pause(headers)
    return None if seconds is None else min(seconds, MAX_TOLD_SECONDS)


def _told_pause(headers: Mapping[str, str]) -> float | None:
    milliseconds = _as_float(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _as_float(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _as_float(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _was_not_taken(error: Exception) -> bool:
    """Tell whether the connection failed; one that fell silent may have cost the answer already."""
    if isinstance(error, TimeoutError):
        return isinstance(error, aiohttp.ConnectionTimeoutError)
    return isinstance(error, aiohttp.ClientConnectionError | OSError)


def _broken(error: Exception) -> ModelError:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ModelTimeoutError("The model server could not be reached in time.")
        case TimeoutError():
            return ModelTimeoutError("The model server was silent for too long.")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return ModelError("No secure connection to the model server: check its certificate.")
        case aiohttp.ClientConnectorError():
            return ModelError("The model server cannot be reached: check OPENAI_BASE_URL.")
        case _:
            return ModelError("The connection to the model server broke.")


def _checked_url(base_url: str) -> URL:
    try:
        url = URL(base_url.strip())
        usable = url.scheme in {"http", "https"} and url.host and not url.user and not url.password
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "OPENAI_BASE_URL: give an address such as http://localhost:11434/v1, "
            "without a user name or a password in it"
        )
    return url.with_fragment(None)


def _key_headers(base_url: URL, api_key: str | None) -> dict[str, str]:
    headers = {
        "Accept-Encoding": "identity",  # compression would hold deltas back
        "Content-Type": "application/json",
        "User-Agent": "gpt-assistant-api",
    }
    if api_key is None or not (key := api_key.strip()):
        return headers
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError("OPENAI_API_KEY: it has a character that no key can have")
    if "api-version" in base_url.query:  # Azure's older addresses take the key in their own header
        return {**headers, "api-key": key}
    return {**headers, "Authorization": f"Bearer {key}"}
