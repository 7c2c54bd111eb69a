"""The program with a watch on its event loop: for how long is it busy with one thing.

    python -m benchmarks.watched --port PORT

A task wants its turn every two milliseconds. How late it comes, less the time for which the system
ran somebody else, is how long everything else had to wait too. SIGUSR1 begins anew, and `busy.json`
in the folder is written when the program ends.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from gpt_assistant_api.cli.application import make_app

_EVERY_SECONDS = 0.002
_BUSY = Path("busy.json").absolute()
_longest: list[float] = []
_app = make_app()


def _seconds_not_run() -> float:
    """Return for how long this thread was ready to run, and another one had the core."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


async def _watch() -> None:
    while True:
        began, not_run = time.monotonic(), _seconds_not_run()
        await asyncio.sleep(_EVERY_SECONDS)
        late = time.monotonic() - began - _EVERY_SECONDS
        if late > _EVERY_SECONDS:
            _longest.append(late - (_seconds_not_run() - not_run))


async def watched(scope: Any, receive: Any, send: Any) -> None:
    """Serve as the program does."""
    if scope["type"] != "lifespan":
        await _app(scope, receive, send)
        return
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _longest.clear)
    watch = asyncio.create_task(_watch())
    try:
        await _app(scope, receive, send)
    finally:
        watch.cancel()  # without waiting: the server ends the process once it is told
        _BUSY.write_text(json.dumps(sorted(_longest)[-100:]))


if __name__ == "__main__":
    uvicorn.run(
        watched,
        port=int(sys.argv[-1]),
        loop="uvloop",
        http="gpt_assistant_api.cli.connections:Connection",
        lifespan="on",
        access_log=False,
    )
