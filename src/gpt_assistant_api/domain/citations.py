"""Citation marks that hosted models leave in their text, such as 【4:0†source】."""

import re

MAX_MARK_CHARACTERS = 300

_NUMBERS = r"[0-9:]{1,16}"
_SOURCE = rf"[^【】\n]{{0,{MAX_MARK_CHARACTERS - 19}}}"
_MARK = re.compile(rf"【{_NUMBERS}†{_SOURCE}】")
_BEGUN = re.compile(rf"【(?:[0-9:]{{0,16}}|{_NUMBERS}†{_SOURCE})")


def strip_citations(text: str) -> str:
    """Return `text` without its citation marks; other text in such brackets stays."""
    return _MARK.sub("", text)


def split_unfinished(text: str) -> tuple[str, str]:
    """Part `text` before a citation mark that has begun at its end and may still be completed.

    The second part is empty, or at most MAX_MARK_CHARACTERS long. Stripping the first parts one by
    one gives what stripping the whole text at once would give.
    """
    start = text.rfind("【", max(0, len(text) - MAX_MARK_CHARACTERS))
    if start >= 0 and _BEGUN.fullmatch(text, start):
        return text[:start], text[start:]
    return text, ""
