"""What the model is shown: turns, quotes, and where a long history is cut."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpt_assistant_api.domain.messages import Role

TOKENS_PER_IMAGE = 1_000
QUOTE_CHARACTERS = 2_000
_CHARACTERS_PER_TOKEN = 3
_STEPS_PER_BUDGET = 4
_SMALLEST_SHARE = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as the model gets it.

    `width` and `height` are those of the stored file, in pixels; `data` may hold fewer pixels and
    another format, `media_type` is the one of `data`.
    """

    filename: str
    content_type: str
    width: int
    height: int
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as the model gets it: its text with the quote in front, and its pictures."""

    role: Role
    text: str
    pictures: tuple[Picture, ...] = ()


def estimate_tokens(text: str, images: int = 0) -> int:
    """Return a cautious estimate that needs no model's tokenizer."""
    return (
        len(text.encode("utf-8", "replace")) // _CHARACTERS_PER_TOKEN
        + 4
        + images * TOKENS_PER_IMAGE
    )


def quoted(quote: str, text: str) -> str:
    """Return `text` under the message that it points at, as a Markdown quote."""
    lines = quote[:QUOTE_CHARACTERS].splitlines() or [""]
    return "\n".join(f"> {line}" for line in lines) + f"\n\n{text}"


def cut_before(path_tokens: int, budget: int) -> int:
    """Return how many of the oldest tokens of a path of `path_tokens` are left out.

    The cut moves in steps of a quarter of the budget and stays where it is in between, so that the
    beginning of what is sent, which providers cache, changes seldom.
    """
    if path_tokens <= budget:
        return 0
    step = max(1, budget // _STEPS_PER_BUDGET)
    return -(-(path_tokens - budget) // step) * step


def shorter(budget: int, path_tokens: int) -> int:
    """Return the budget to try next for a path that a model finds too long; 0 is the last message.

    The estimate may be wrong for this model and its window small, so each try halves what is sent.
    """
    half = min(budget, path_tokens) // 2
    return half if half >= path_tokens // _SMALLEST_SHARE else 0


def alternating(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns beginning with a user's, with neighbours of one role made into one.

    Chat templates of many models refuse anything else. A history that was cut between a question
    and its answer loses the answer as well.
    """
    result: list[Turn] = []
    for turn in turns:
        if not result and turn.role == "assistant":
            continue
        if result and result[-1].role == turn.role:
            before = result.pop()
            text = "\n\n".join(part for part in (before.text, turn.text) if part)
            result.append(Turn(turn.role, text, before.pictures + turn.pictures))
        else:
            result.append(turn)
    return result
