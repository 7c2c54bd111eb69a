"""Which process executes a run, when, and how often."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from gpt_assistant_api.domain.asks import Asked
from gpt_assistant_api.domain.errors import UnavailableError
from gpt_assistant_api.domain.messages import Message
from gpt_assistant_api.domain.runs import Run
from gpt_assistant_api.engine import Engine, open_engine, working
from gpt_assistant_api.engine.redis import connected
from tests.engine.conftest import NOON, make_run


class Hands:
    """Executes runs until they are let go, and remembers which."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.executing: set[str] = set()
        self.most = 0
        self.stopped: list[str] = []
        self._go = asyncio.Event()

    async def execute(self, run_id: str, _asked: Asked | None) -> None:
        self.begun.append(run_id)
        self.executing.add(run_id)
        self.most = max(self.most, len(self.executing))
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.stopped.append(run_id)
            raise
        finally:
            self.executing.discard(run_id)

    def let_go(self) -> None:
        self._go.set()

    async def have_begun(self, *run_ids: str) -> None:
        async with asyncio.timeout(10):
            while not set(run_ids) <= set(self.begun):  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.01)


async def idle(*engines: Engine) -> None:
    """Wait until nothing is executed any more; who stops earlier hands it over."""
    async with asyncio.timeout(10):
        while any(engine.executing for engine in engines):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)


async def test_so_many_are_executed_at_a_time_and_the_others_in_their_order(
    engine_url: str,
) -> None:
    hands, names = Hands(), [f"run_{number}" for number in range(6)]
    async with open_engine(engine_url) as engine:
        engine.register(hands.execute)
        async with working(engine, concurrency=3):
            for name in names:
                assert await engine.submit_run(name)
            await hands.have_begun(*names[:3])
            assert engine.executing == 3
            hands.let_go()
            await hands.have_begun(*names)
            await idle(engine)
    assert hands.most == 3
    assert hands.begun == names


async def test_a_run_that_is_handed_over_twice_is_executed_once(engine_url: str) -> None:
    hands = Hands()
    async with open_engine(engine_url) as engine:
        engine.register(hands.execute)
        async with working(engine, concurrency=2):
            await engine.submit_runs(["run_1", "run_2", "run_1", "run_2"])
            await hands.have_begun("run_1", "run_2")
            await engine.submit_runs(["run_1", "run_2"])
            hands.let_go()
            await idle(engine)
    assert Counter(hands.begun) == {"run_1": 1, "run_2": 1}


async def test_what_one_process_has_no_room_for_another_takes(redis_url: str) -> None:
    full, free = Hands(), Hands()
    async with open_engine(redis_url) as a, open_engine(redis_url) as b:
        a.register(full.execute)
        b.register(free.execute)
        async with working(a, concurrency=1):
            await a.submit_run("run_1")
            await full.have_begun("run_1")
            await a.submit_runs(["run_2", "run_3"])
            async with working(b, concurrency=5):
                await free.have_begun("run_2", "run_3")
                full.let_go()
                free.let_go()
                await idle(a, b)
    assert full.begun == ["run_1"]


async def test_a_run_is_stopped_wherever_it_is(engine_url: str) -> None:
    hands = Hands()
    async with open_engine(engine_url) as engine:
        engine.register(hands.execute)
        async with working(engine, concurrency=2):
            await engine.submit_runs(["run_1", "run_2", "run_3"])
            await hands.have_begun("run_1", "run_2")
            await engine.drop_run(make_run("run_3"))  # it waits
            await engine.drop_run(make_run("run_1"))
            hands.let_go()
            await idle(engine)
    assert hands.stopped == ["run_1"]
    assert sorted(hands.begun) == ["run_1", "run_2"]


async def test_a_run_is_stopped_from_another_process(redis_url: str) -> None:
    hands = Hands()
    async with open_engine(redis_url) as a, open_engine(redis_url) as b:
        a.register(hands.execute)
        async with working(a, concurrency=5):
            await a.submit_runs(["run_1", "run_2"])
            await hands.have_begun("run_1", "run_2")
            async with asyncio.timeout(10):
                while not hands.stopped:  # the first may come before it listens
                    await b.drop_run(make_run("run_1"))
                    await asyncio.sleep(0.05)
            hands.let_go()
            await idle(a)
    assert hands.stopped == ["run_1"]


async def test_what_is_executed_at_a_stop_is_handed_over(redis_url: str) -> None:
    first, second = Hands(), Hands()
    async with open_engine(redis_url) as a, open_engine(redis_url) as b:
        a.register(first.execute)
        b.register(second.execute)
        async with working(b, concurrency=5):
            async with working(a, concurrency=5):
                await a.submit_runs(["run_1", "run_2"])
                await first.have_begun("run_1", "run_2")
                await a.submit_run("run_3")
                a.begin_stop()  # before the third has begun
                await second.have_begun("run_1", "run_2", "run_3")
                await a.submit_run("run_4")
                await second.have_begun("run_4")
            second.let_go()
            await idle(b)
    assert "run_4" not in first.begun


async def test_what_could_not_be_executed_is_tried_again(engine_url: str) -> None:
    tries: list[str] = []

    async def execute(run_id: str, _asked: Asked | None) -> None:
        tries.append(run_id)
        if len(tries) == 1:
            raise UnavailableError("Away.", code="database_unavailable")

    async with open_engine(engine_url) as engine:
        engine.register(execute)
        async with working(engine, concurrency=5):
            await engine.submit_run("run_1")
            await idle(engine)
    assert tries == ["run_1", "run_1"]


async def test_at_a_stop_nothing_is_tried_again(engine_url: str) -> None:
    tries: list[str] = []

    async def execute(run_id: str, _asked: Asked | None) -> None:
        tries.append(run_id)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise UnavailableError("Away.", code="database_unavailable") from None

    async with open_engine(engine_url) as engine:
        engine.register(execute)
        async with asyncio.timeout(10), working(engine, concurrency=5):
            await engine.submit_run("run_1")
            while not tries:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
    assert tries == ["run_1"]


async def test_what_is_unforeseen_ends_no_loop(redis_url: str) -> None:
    hands = Hands()
    async with open_engine(redis_url) as engine, connected(redis_url) as redis:
        engine.register(hands.execute)
        await redis.zadd("gpt-assistant-api:waiting", {b"\xff": 0})
        async with working(engine, concurrency=1):
            await engine.submit_runs(["run_1", "run_2"])
            hands.let_go()
            await hands.have_begun("run_1", "run_2")
            await idle(engine)


async def test_a_cancel_is_told_though_the_database_was_away(
    engine_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt_assistant_api.engine.engine._CANCEL_SECONDS", 0.05)
    cancelled, tries = make_run(status="cancelled"), []
    answer = Message(
        2, "thread_1", "ada", "assistant", "incomplete", "So", None, 1, 1, "run_1", 9, NOON
    )

    async def take(run: Run) -> tuple[Run, Message]:
        tries.append(run.run_id)
        if len(tries) == 1:
            raise UnavailableError("Away.", code="database_unavailable")
        return replace(run, attempt=2), answer

    async with open_engine(engine_url) as engine:
        await engine.cancel_run(cancelled, answer, take)
        assert await engine.events.wait_for_end("run_1", timeout_seconds=10)
    assert tries == ["run_1", "run_1"]
