from typing import Literal

import pytest

from gpt_assistant_api.domain.errors import ConfigurationError
from gpt_assistant_api.llm.choose import Api, choose_api, choose_model, open_model_server
from gpt_assistant_api.llm.offline import OfflineServer
from tests.llm.builders import make_server
from tests.model_server import Answer, ModelServerSimulation


@pytest.mark.parametrize(
    ("api", "api_key", "base_url", "chosen"),
    [
        ("auto", None, None, "offline"),
        ("auto", "", "", "offline"),
        ("auto", "sk-1", None, "responses"),
        ("auto", "sk-1", "https://api.openai.com/v1", "responses"),
        ("auto", "sk-1", "https://eu.api.openai.com/v1", "responses"),
        ("auto", None, "http://localhost:11434/v1", "chat_completions"),
        ("auto", "sk-1", "https://notapi.openai.com.example/v1", "chat_completions"),
        ("responses", None, "http://localhost:11434/v1", "responses"),
        ("chat_completions", "sk-1", None, "chat_completions"),
        ("offline", "sk-1", "https://api.openai.com/v1", "offline"),
    ],
)
def test_the_api_is_chosen_by_what_is_configured(
    api: Literal["auto", "responses", "chat_completions", "offline"],
    api_key: str | None,
    base_url: str | None,
    chosen: Api,
) -> None:
    assert choose_api(api, api_key=api_key, base_url=base_url) == chosen


@pytest.mark.parametrize("key", [None, "sk-ümlaut", "sk-1\nx: y"])
def test_a_key_that_cannot_be_used_is_refused_without_repeating_it(key: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"^OPENAI_API_KEY: ") as refused:
        open_model_server("responses", key, None, 10)
    assert key is None or key not in str(refused.value)


async def test_the_configured_model_is_taken_without_asking(
    upstream: ModelServerSimulation,
) -> None:
    server = make_server(upstream.url, "responses")
    assert await choose_model(server, "mine") == "mine"
    assert upstream.requests == []


async def test_the_only_model_is_taken(upstream: ModelServerSimulation) -> None:
    server = make_server(upstream.url, "chat_completions")
    assert await choose_model(server, None) == "test-model"
    await server.close()
    assert await choose_model(OfflineServer(), None) == "offline"


async def test_a_choice_is_left_to_the_operator(upstream: ModelServerSimulation) -> None:
    upstream.models = [f"model-{number:02}" for number in range(52)]
    server = make_server(upstream.url, "chat_completions")
    with pytest.raises(ConfigurationError, match=r"^MODEL: .*model-00, .*model-49 and 2 more$"):
        await choose_model(server, None)
    await server.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(body={"data": []}), "lists none"),
        (Answer(body="<html>"), "could not be asked"),
        (Answer(body={"data": 5}), "could not be asked"),
        (Answer(status=401), "OPENAI_API_KEY"),
    ],
)
async def test_a_server_that_does_not_tell_its_models_is_explained(
    upstream: ModelServerSimulation, answer: Answer, says: str
) -> None:
    upstream.script(answer)
    server = make_server(upstream.url, "chat_completions")
    with pytest.raises(ConfigurationError, match=f"^MODEL: .*{says}"):
        await choose_model(server, None)
    await server.close()


@pytest.mark.parametrize(
    "body", [{"models": [{"name": "a"}]}, [{"id": "a"}, {}], {"data": ["a", None, {"id": 5}]}]
)
async def test_lists_of_models_in_other_forms_are_read(
    upstream: ModelServerSimulation, body: object
) -> None:
    upstream.script(Answer(body=body))
    server = make_server(upstream.url, "chat_completions")
    assert await server.list_models() == ["a"]
    await server.close()
