"""Which model server, and which of its models: what the settings leave open.

What speaks to one is imported when it is wanted: the offline assistant does without an HTTP client,
which would take a tenth of the start and of the memory.
"""

from typing import Literal

from gpt_assistant_api.domain.errors import ConfigurationError, ModelError
from gpt_assistant_api.domain.text import one_line
from gpt_assistant_api.llm import ModelServer
from gpt_assistant_api.llm.addresses import OPENAI_BASE_URL, is_openai
from gpt_assistant_api.llm.offline import OfflineServer

Api = Literal["responses", "chat_completions", "offline"]

_LISTED_MODELS = 50


def choose_api(
    api: Literal["auto", "responses", "chat_completions", "offline"],
    *,
    api_key: str | None,
    base_url: str | None,
) -> Api:
    """Return the API to speak; `auto` decides by what is configured."""
    if api != "auto":
        return api
    if not (api_key or base_url):
        return "offline"
    return "responses" if is_openai(base_url or OPENAI_BASE_URL) else "chat_completions"


def open_model_server(
    api: Literal["auto", "responses", "chat_completions", "offline"],
    api_key: str | None,
    base_url: str | None,
    timeout_seconds: float,
) -> ModelServer:
    """Return the configured model server; nothing is connected before the first use.

    Raises ConfigurationError naming the setting that is missing or cannot be used.
    """
    chosen = choose_api(api, api_key=api_key, base_url=base_url)
    if chosen == "offline":
        return OfflineServer()
    if not api_key and is_openai(base_url or OPENAI_BASE_URL):
        raise ConfigurationError(
            "OPENAI_API_KEY: OpenAI needs a key; for another server set OPENAI_BASE_URL"
        )
    from gpt_assistant_api.llm.http import ModelConnection  # noqa: PLC0415 - see the module

    connection = ModelConnection(base_url or OPENAI_BASE_URL, api_key, timeout_seconds)
    if chosen == "responses":
        from gpt_assistant_api.llm.responses import ResponsesServer  # noqa: PLC0415

        return ResponsesServer(connection)
    from gpt_assistant_api.llm.chat_completions import ChatCompletionsServer  # noqa: PLC0415

    return ChatCompletionsServer(connection)


async def choose_model(server: ModelServer, configured: str | None) -> str:
    """Return the configured model, or the only one that the server offers.

    Raises ConfigurationError listing what there is when nobody has chosen.
    """
    if configured:
        return configured
    try:
        models = await server.list_models()
    except ModelError as error:
        raise ConfigurationError(
            f"MODEL: name a model; the server could not be asked for one. {error.message}"
        ) from None
    if len(models) == 1:
        return models[0]
    if not models:
        raise ConfigurationError("MODEL: name a model; the server lists none")
    listed = ", ".join(one_line(name, 100) for name in sorted(models)[:_LISTED_MODELS])
    more = f" and {len(models) - _LISTED_MODELS} more" if len(models) > _LISTED_MODELS else ""
    raise ConfigurationError(f"MODEL: choose one of those that the server offers: {listed}{more}")
