"""The run engine with runs that do nothing: what it costs by itself.

    python -m benchmarks.engine_alone REDIS_URL RUNS AT_ONCE

Prints the seconds of CPU time that one run takes.
"""

import asyncio
import sys
import time

import uvloop

from gpt_assistant_api.engine import open_engine, working


async def measure(url: str, runs: int, at_once: int) -> float:
    """Hand runs over, so many at a time, and wait for their end."""
    left = 0
    done = asyncio.Event()

    async def execute(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            done.set()

    async with open_engine(url, name="benchmarks") as engine:
        engine.register(execute)
        async with working(engine, concurrency=1_000):
            began = 0.0
            for number in range(-at_once, runs, at_once):  # the first ones are for warming up
                if number == 0:
                    began = time.process_time()
                left = at_once
                done.clear()
                await asyncio.gather(
                    *(engine.submit_run(f"run-{number + n}") for n in range(at_once))
                )
                await done.wait()
            return (time.process_time() - began) / runs


if __name__ == "__main__":
    print(uvloop.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
