"""Links that lead where they say, and pictures that load nothing by themselves."""

import re
from collections.abc import Sequence
from typing import Final, cast

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_MAX_ADDRESS_CHARACTERS = 2_048

# No user name before the host: https://bank.example@elsewhere.example leads elsewhere.
_WEB: Final = re.compile(
    r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)
_MAIL: Final = re.compile(r"mailto:[^/:?#@]+@[^/:?#@]+(?:\?.*)?", re.IGNORECASE | re.ASCII)

# Everything that takes no room or turns the direction; also the joiners of scripts and of emoji,
# which a link's text can do without.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


class Parser(MarkdownIt):
    """A Markdown parser to which any other address than http, https and mailto is plain text."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        """Tell whether a normalised address may be linked: then it is ASCII, its host as well."""
        if len(url) > _MAX_ADDRESS_CHARACTERS:
            return False
        return bool(_WEB.fullmatch(url) or _MAIL.fullmatch(url))

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802 - the library's name
        """Return the address as it is followed: a decoded one may look like another."""
        return self.normalizeLink(link)

    def plain_text(self, tokens: Sequence[Token] | None) -> str:
        """Return the text of inline tokens without its formatting."""
        renderer = cast("RendererHTML", self.renderer)
        return renderer.renderInlineAsText(tokens, self.options, {})


def undisguised(parser: Parser, children: Sequence[Token]) -> list[Token]:
    """Return inline tokens with pictures as links and no invisible character within a link."""
    result: list[Token] = []
    linked = False
    for token in children:
        if token.type == "image":
            result += _picture(parser, token, linked=linked)
            continue
        if token.type in {"link_open", "link_close"}:
            linked = token.nesting == 1
        elif linked:
            token.content = _INVISIBLE.sub("", token.content)
        result.append(token)
    return result


def _picture(parser: Parser, image: Token, *, linked: bool) -> list[Token]:
    """Return a link to the picture; only its text where it stands within a link."""
    address = str(image.attrs["src"])
    text = Token("text", "", 0)
    text.content = _INVISIBLE.sub("", parser.plain_text(image.children)).strip() or address
    if linked:
        return [text]
    return [Token("link_open", "a", 1, {"href": address}), text, Token("link_close", "a", -1)]
