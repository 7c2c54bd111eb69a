"""The face towards the run engine: the id of a run comes in, and the run is answered."""

from collections.abc import Awaitable, Callable

from gpt_assistant_api.domain.asks import Asked
from gpt_assistant_api.services.answers import Answering, answer_run


def executor(answering: Answering) -> Callable[[str, Asked | None], Awaitable[None]]:
    """Return what the engine calls for every run."""

    async def execute(run_id: str, asked: Asked | None) -> None:
        await answer_run(answering, run_id, asked)

    return execute
