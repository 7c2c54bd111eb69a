import pytest

from gpt_assistant_api.domain.history import Picture, Turn, estimate_tokens, quoted
from gpt_assistant_api.domain.runs import Usage
from gpt_assistant_api.llm.offline import OfflineServer
from tests.llm.builders import SETTINGS, collect, make_picture

COLOURS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"]
COLOURS += ["brown", "grey", "white", "black"]
OPENING = (
    "I am the offline assistant: no model is connected, so I can only show you what I was given. "
    "To connect one, set `OPENAI_API_KEY` for OpenAI, or `OPENAI_BASE_URL` for any compatible "
    "server, and name the model in `MODEL`.\n\n"
)


async def answer_to(*turns: Turn) -> str:
    text, _ = await collect(OfflineServer(delay_seconds=0).stream(turns, SETTINGS))
    return text


async def test_it_says_what_it_is_and_repeats_the_prompt() -> None:
    assert await answer_to(Turn("user", "Why is\n\nthe sky blue?")) == (
        OPENING + "This is the first message of this thread that I was given.\n\n"
        "You wrote:\n\n> Why is\n> \n> the sky blue?\n"
    )


async def test_it_counts_the_history_and_names_the_message_replied_to() -> None:
    turns = [Turn("user", "One?"), Turn("assistant", "Two."), Turn("user", quoted("Two.", "Why?"))]
    assert await answer_to(*turns) == (
        OPENING + "Before this message I was given 2 earlier messages: "
        "1 from you and 1 from the assistant.\n\n"
        "You replied to this message:\n\n> Two.\n\nYou wrote:\n\n> Why?\n"
    )


async def test_it_looks_at_every_picture() -> None:
    now = [make_picture("white", image_format="JPEG", size=(1200, 800))]
    turns = [Turn("user", "", (make_picture("blue"),)), Turn("user", "", tuple(now))]
    assert await answer_to(*turns) == (
        OPENING + "Before this message I was given 1 earlier message: "
        "1 from you and 0 from the assistant.\n\n"
        "Pictures in your message:\n\n- `photo`: JPEG, 1200 × 800 pixels, mainly white\n\n"
        "Pictures earlier in this thread:\n\n- `photo`: PNG, 40 × 30 pixels, mainly blue\n"
    )


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_it_names_the_colour_of_a_picture(colour: str, image_format: str) -> None:
    picture = make_picture(colour, image_format=image_format)
    assert f"mainly {colour}\n" in await answer_to(Turn("user", "", (picture,)))


async def test_bytes_that_are_no_picture_do_not_cost_the_answer() -> None:
    picture = Picture("x", "image/png", 1, 1, "image/png", b"nonsense")
    assert "- `x`: PNG, 1 × 1 pixels, colours unreadable\n" in await answer_to(
        Turn("user", "", (picture,))
    )


async def test_it_streams_in_small_pieces_and_counts_them() -> None:
    turns = [Turn("user", "word " * 500 + "x" * 500)]
    items = [item async for item in OfflineServer(delay_seconds=0).stream(turns, SETTINGS)]
    text, end = await collect(OfflineServer(delay_seconds=0).stream(turns, SETTINGS))
    assert len(items) > 500
    given = estimate_tokens("Be brief.") + estimate_tokens(turns[0].text)
    assert end.usage == Usage(given, estimate_tokens(text), given + estimate_tokens(text))
    assert (end.reason, end.model) == ("stop", "offline")


async def test_it_answers_nothing_at_all() -> None:
    assert (await answer_to()).startswith(OPENING)
