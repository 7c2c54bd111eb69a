"""What surrounds every request: the guard of open mode, safe headers, and an id to find it by.

Plain ASGI: a middleware that wraps requests and responses triples what a small answer costs.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gpt_assistant_api.domain.errors import ForbiddenError, Refusal
from gpt_assistant_api.telemetry.requests import RequestFigures

Refuse = Callable[[Scope, Receive, Send, Refusal], Awaitable[None]]

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROXY_HEADERS = frozenset(
    (
        *(b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip"),
        *(b"x-original-forwarded-for", b"true-client-ip", b"cf-connecting-ip", b"fastly-client-ip"),
    )
)
_OWN_SITE = (b"same-origin", b"none")
_NAVIGATION = {b"sec-fetch-mode": [b"navigate"], b"sec-fetch-dest": [b"document"]}

_FEATURES = (
    *("accelerometer", "autoplay", "camera", "clipboard-read", "clipboard-write"),
    *("display-capture", "encrypted-media", "fullscreen", "geolocation", "gyroscope", "hid"),
    *("idle-detection", "magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
    *("publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
)


def permissions_policy(*, allowed: Collection[str] = ()) -> str:
    """Return the policy that switches everything off but what is `allowed` to the page itself."""
    return ", ".join(f"{name}={'(self)' if name in allowed else '()'}" for name in _FEATURES)


SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"permissions-policy", permissions_policy().encode()),
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def is_loopback_host(host: str) -> bool:
    """Tell whether listening on `host` reaches this machine alone.

    Of all names only localhost counts: what another one stands for may change.
    """
    return host.lower() == "localhost" or _is_loopback_address(host.strip("[]"))


class OpenModeGuard:
    """Without keys and tokens, lets in only programs and pages of this machine.

    A web page elsewhere can make a browser here send requests, under any host name that it lets
    point here; so the client's address is not enough, and Host, Origin and Sec-Fetch-Site must
    agree. What a proxy forwards is refused, whoever it claims to speak for. So is a Unix socket,
    which has no address and is mostly there for a proxy. `pages` are the paths that a link on a
    page elsewhere may lead to.
    """

    def __init__(self, app: ASGIApp, *, refuse: Refuse, pages: Collection[str] = ("/",)) -> None:
        self._app = app
        self._refuse = refuse
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one connection."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._refuse(scope, receive, send, refusal)
        else:
            await send({"type": "websocket.close"})

    def _refusal(self, scope: Scope) -> ForbiddenError | None:
        headers = _grouped(scope)
        if any(name in _PROXY_HEADERS or name.startswith(b"x-forwarded-") for name in headers):
            return _host_refused("A proxy is in front of this server, which is in open mode.")
        if not (scope.get("client") and _is_loopback_address(scope["client"][0])):
            return _host_refused("In open mode this server answers to its own machine alone.")
        hosts, origins = _own_names((scope.get("server") or ("", None))[1], scope["scheme"])
        if len(sent := headers.get(b"host", [])) != 1 or sent[0].lower() not in hosts:
            return _host_refused("In open mode this server answers only as localhost.")
        if not origins.issuperset(headers.get(b"origin", [])):
            return _origin_refused()
        if not self._is_own_site(scope, headers):
            return _origin_refused()
        return None

    def _is_own_site(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> bool:
        if all(site in _OWN_SITE for site in headers.get(b"sec-fetch-site", [])):
            return True
        return (
            scope.get("method") == "GET"
            and scope["path"] in self._pages
            and all(headers.get(name) == value for name, value in _NAVIGATION.items())
        )


class SecurityHeaders:
    """Gives every response the strictest headers; one that a response brings itself is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name for name, _ in headers}
                headers += [header for header in SAFE_HEADERS if header[0] not in present]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_safely if scope["type"] == "http" else send)


class RequestContext:
    """Names each request, in its state, its log lines and its response, and tells of its end.

    What is put into `headers` of its state goes out with its response, whoever makes that. An id
    from outside is taken over if it cannot hurt a log. The line has the route that was matched:
    paths hold the ids of users, and queries hold signatures. A crash is logged here alone, where
    the request still has its name.
    """

    def __init__(self, app: ASGIApp, figures: RequestFigures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        header = (b"x-request-id", request_id.encode("ascii"))
        told: dict[str, str] = {}
        # The server may hand the same state to all requests.
        state = {**scope.get("state", {}), "request_id": request_id, "headers": told}
        scope = {**scope, "state": state}
        status: int | None = None
        complete = False
        crash: Exception | None = None

        async def send_named(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(name.lower().encode(), text.encode()) for name, text in told.items()]
                message = {**message, "headers": [*message.get("headers", ()), header, *more]}
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body")

        started = time.perf_counter()
        self._figures.began(scope)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_named)
            except Exception as error:
                crash = error
                log.exception("request crashed")
                if status is None:  # nobody has answered: the server does
                    raise
            finally:
                seconds = time.perf_counter() - started
                self._figures.ended(scope, seconds, status, crash, complete=complete)
                log.info(
                    "request",
                    method=scope["method"],
                    path=getattr(scope.get("route"), "path", None),
                    status=status,
                    seconds=round(seconds, 6),
                )


def _request_id(scope: Scope) -> str:
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return secrets.token_hex(16)


def _grouped(scope: Scope) -> dict[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value)
    return headers


@lru_cache(maxsize=256)
def _is_loopback_address(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


@lru_cache(maxsize=16)
def _own_names(port: int | None, scheme: str) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Return what Host and Origin may be, letter by letter, on a server at this port."""
    if port is None:
        return frozenset(), frozenset()
    hosts = _with_port(port, scheme)
    origins = (f"{kind}://{name}" for kind in _DEFAULT_PORTS for name in _with_port(port, kind))
    return frozenset(map(str.encode, hosts)), frozenset(map(str.encode, origins))


def _with_port(port: int, scheme: str) -> list[str]:
    names = [f"{name}:{port}" for name in _LOOPBACK_NAMES]
    return [*names, *_LOOPBACK_NAMES] if _DEFAULT_PORTS.get(scheme) == port else names


def _host_refused(reason: str) -> ForbiddenError:
    return ForbiddenError(
        f"{reason} Make a key with `gpt-assistant-api keys create` to serve others.",
        code="host_refused",
    )


def _origin_refused() -> ForbiddenError:
    return ForbiddenError(
        "In open mode this server answers only to its own pages.", code="origin_refused"
    )
