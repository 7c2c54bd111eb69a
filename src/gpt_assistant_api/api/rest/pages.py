"""What a browser is shown: the chat page, the documentation, and the files of both."""

import gzip
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256

from fastapi import Request, Response

from gpt_assistant_api.api.rest.context import router
from gpt_assistant_api.api.rest.ranges import is_unchanged
from gpt_assistant_api.api.web import WebPage
from gpt_assistant_api.domain.errors import NotFoundError

routes = router("Operations")

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "png": "image/png",
    "svg": "image/svg+xml",
}
_SMALL_BYTES = 500


class ServedFile:
    """A file in the form in which it leaves: asked about at each use, sent when it has changed."""

    def __init__(self, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        kind = name.rpartition(".")[2]
        self._data = data
        self._media_type = _TYPES[kind]
        self._is_packed = kind == "png"
        self._etag = f'"{sha256(data).hexdigest()[:32]}"'
        self._headers = {
            "Cache-Control": "no-cache",
            "ETag": f"W/{self._etag}",  # the same for both codings
            "Vary": "Accept-Encoding",
            **(headers or {}),
        }

    def response(self, request: Request) -> Response:
        """Return the file, or that it has not changed."""
        if is_unchanged(request.headers, self._etag):
            return Response(status_code=304, headers=self._headers)
        if self._gzipped is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self._data, headers=self._headers, media_type=self._media_type)
        headers = {**self._headers, "Content-Encoding": "gzip"}
        return Response(self._gzipped, headers=headers, media_type=self._media_type)

    @cached_property
    def _gzipped(self) -> bytes | None:
        if self._is_packed or len(self._data) < _SMALL_BYTES:
            return None
        return gzip.compress(self._data, mtime=0)


class Pages:
    """The pages by their paths and the files of all of them by their names."""

    def __init__(self, pages: Mapping[str, WebPage]) -> None:
        self._pages = {
            path: ServedFile("page.html", page.html, page.headers) for path, page in pages.items()
        }
        self._assets = {
            name: ServedFile(name, data)
            for page in pages.values()
            for name, data in page.assets.items()
        }

    def page(self, path: str) -> ServedFile:
        """Return the page at a path."""
        return self._pages[path]

    def asset(self, name: str) -> ServedFile:
        """Return a file of a page or raise NotFoundError."""
        if name not in self._assets:
            raise NotFoundError("There is nothing at this path.", code="path_not_found")
        return self._assets[name]


@routes.get("/", operation_id="get_home", include_in_schema=False)
async def get_home(request: Request) -> Response:
    """Show the chat page."""
    return _pages(request).page("/").response(request)


@routes.get("/docs", operation_id="get_docs", include_in_schema=False)
async def get_docs(request: Request) -> Response:
    """Show the API and let it be tried."""
    return _pages(request).page("/docs").response(request)


@routes.get("/assets/{name:path}", operation_id="get_asset", include_in_schema=False)
async def get_asset(request: Request, name: str) -> Response:
    """Give a file of a page."""
    return _pages(request).asset(name).response(request)


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages
