"""The face towards the run engine: a job's id comes in, a run is answered."""

from collections.abc import Awaitable, Callable

from gpt_assistant_api.domain.asks import Asked
from gpt_assistant_api.services.answers import Answering, answer_run


def executor(answering: Answering) -> Callable[[str, Asked | None], Awaitable[None]]:
    """Return what the engine calls for every job."""

    async def execute(run_id: str, asked: Asked | None) -> None:
        await answer_run(answering, run_id, asked)

    return execute
