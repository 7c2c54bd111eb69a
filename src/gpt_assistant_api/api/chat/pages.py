"""The page and its files, read from the package, and what it may do in a browser."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from gpt_assistant_api.api.guard import permissions_policy
from gpt_assistant_api.api.web import WebPage

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " object-src 'none'"
)


def chat_page() -> WebPage:
    """Return the chat page. Its files are called `chat/...`."""
    static = files("gpt_assistant_api.api.chat") / "static"
    assets = dict(_read(static, "chat"))
    return WebPage(
        html=assets.pop("chat/index.html"),
        headers={
            "Content-Security-Policy": _POLICY,
            "Permissions-Policy": permissions_policy(allowed={"clipboard-write"}),
        },
        assets=assets,
    )


def _read(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _read(entry, path)
        else:
            yield path, entry.read_bytes()
