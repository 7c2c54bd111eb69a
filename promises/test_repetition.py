"""Whatever is asked again, watched again, stopped or deleted, in whatever order: one thing each."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import server_process

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
LATER = {"Prefer": "respond-async"}


@pytest.fixture
def url(tmp_path: Path, database_url: str, upstream: ModelServerSimulation) -> Iterator[str]:
    """Where the program listens, on either database."""
    settings = {"OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "DATABASE_URL": database_url}
    with server_process(tmp_path, **settings) as process:
        asyncio.run(process.start())
        yield process.url


def explore(machine: type[RuleBasedStateMachine], chance: random.Random, examples: int) -> None:
    """Let a machine take steps of its own choice, of so many beginnings."""
    run_state_machine_as_test(
        seed(chance.getrandbits(32))(machine),
        settings=settings(
            max_examples=examples, stateful_step_count=15, deadline=None, database=None,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_an_idempotency_key_stands_for_one_request_of_one_user(
    url: str, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = Answer(text="Once.")
    unique = iter(range(10**9))

    class Repetition(RuleBasedStateMachine):
        """Keys and bodies out of few, so that they meet again and again."""

        def __init__(self) -> None:
            super().__init__()
            self.client = httpx2.Client(base_url=url, timeout=60)
            self.prefix = f"m{next(unique)}"
            self.known: dict[tuple[str, str], tuple[str, Any]] = {}
            self.asked_before = len(upstream.requests)

        @rule(
            user=st.sampled_from("ab"),
            key=st.sampled_from("xyz"),
            prompt=st.sampled_from(["p", "q"]),
            way=st.sampled_from(["wait", "later", "stream"]),
        )
        def ask(self, user: str, key: str, prompt: str, way: str) -> None:
            """Ask, perhaps again, perhaps otherwise."""
            body = {"user_id": f"{self.prefix}{user}", "prompt": prompt}
            headers = {"Idempotency-Key": key}
            if way == "later":
                headers |= LATER
            if way == "stream":
                headers["Accept"] = "text/event-stream"
            response = self.client.post("/ask", json=body, headers=headers)
            first_prompt, first = self.known.get((user, key), (prompt, None))
            if first_prompt != prompt:
                assert response.status_code == 422, response.text
                assert response.json()["code"] == "idempotency_key_reused"
                return
            assert response.status_code in {200, 202}, response.text
            told = _told(response)
            if first is not None:
                assert told == first
            self.known[user, key] = (prompt, told)

        def teardown(self) -> None:
            """Each key has had the model asked once."""
            for _, (run_id, _) in self.known.values():
                self.client.get(f"/runs/{run_id}/events").read()
            assert len(upstream.requests) - self.asked_before == len(self.known)
            for user in "ab":
                threads = self.client.get(f"/threads/{self.prefix}{user}").json()["threads"]
                assert len(threads) == sum(one == user for one, _ in self.known)
            self.client.close()

    explore(Repetition, chance, 500 if full else 10)


def _told(response: httpx2.Response) -> tuple[str, int]:
    """Return the run and the question that an answer names, in whatever form it came."""
    if response.headers["content-type"].startswith("text/event-stream"):
        data = json.loads(response.text.partition("data: ")[2].partition("\n\n")[0])
    else:
        data = response.json()
    return data["run"]["run_id"], data["user_message"]["message_id"]


@dataclass(eq=False)
class Watched:
    """A run, and what was seen of it so far."""

    run_id: str
    thread_id: str
    text: str
    seen: list[str] = field(default_factory=list)
    cancelled: bool = False
    deleted: bool = False

    @property
    def ended(self) -> bool:
        """Whether its end was seen."""
        last = self.seen[-1] if self.seen else ""
        return last.startswith(("event: run.completed", "event: run.cancelled"))


def test_a_stream_is_one_sequence_from_wherever_it_is_read(
    url: str, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    class Streams(RuleBasedStateMachine):
        """Runs that are watched in parts, stopped, deleted and begun anew."""

        runs: Bundle[Watched] = Bundle("runs")

        def __init__(self) -> None:
            super().__init__()
            self.client = httpx2.Client(base_url=url, timeout=60)
            self.all: list[Watched] = []

        @rule(target=runs, pieces=st.lists(TEXT, min_size=1, max_size=8))
        def ask(self, pieces: list[str]) -> Watched:
            """Begin a run in a new thread."""
            body = {"user_id": "ada", "prompt": "Go on."}
            return self._begin("/ask", body, pieces)

        @rule(target=runs, run=runs, pieces=st.lists(TEXT, min_size=1, max_size=8))
        def regenerate(self, run: Watched, pieces: list[str]) -> Any:
            """Begin another in the same thread."""
            if run.deleted:
                return multiple()
            body = {"user_id": "ada", "thread_id": run.thread_id, "if_busy": "enqueue"}
            return self._begin("/regenerate", body, pieces)

        def _begin(self, path: str, body: dict[str, Any], pieces: list[str]) -> Watched:
            upstream.default = Answer(text="".join(pieces), pieces=pieces, delay_seconds=0.001)
            response = self.client.post(path, json=body, headers=LATER)
            assert response.status_code == 202, response.text
            told = response.json()
            run = Watched(told["run"]["run_id"], told["thread_id"], "".join(pieces))
            self.all.append(run)
            return run

        @rule(run=runs, where=st.floats(0, 1), count=st.integers(1, 6))
        def read(self, run: Watched, where: float, count: int) -> None:
            """Read a part from a position that was seen, or from the first."""
            self._read(run, int(where * len(run.seen)), count)

        def _read(self, run: Watched, position: int, count: int) -> None:
            headers = {"Last-Event-ID": _id_of(run.seen[position - 1])} if position else {}
            path = f"/runs/{run.run_id}/events"
            with self.client.stream("GET", path, headers=headers) as response:
                if run.deleted:
                    assert response.status_code == 404
                    return
                if response.status_code == 204:
                    assert run.ended and position == len(run.seen)  # noqa: PT018
                    return
                assert response.status_code == 200
                text = ""
                for part in response.iter_text():
                    text += part
                    if _frames(text)[count:]:
                        break
            part_of_all = _frames(text)
            known = run.seen[position:]
            for one, other in zip(known, part_of_all, strict=False):
                assert one == other
            run.seen[position + len(known) :] = part_of_all[len(known) :]

        @rule(run=runs)
        def cancel(self, run: Watched) -> None:
            """Stop it, unless it has ended."""
            response = self.client.post(f"/runs/{run.run_id}/cancel")
            expected = {404} if run.deleted else {200, 409}
            assert response.status_code in expected, response.text
            if response.status_code == 200:
                assert not run.ended
                assert not run.cancelled
                run.cancelled = True

        @rule(run=runs)
        def delete(self, run: Watched) -> None:
            """Delete its thread, with every run in it."""
            response = self.client.delete(f"/threads/ada/{run.thread_id}")
            assert response.status_code == (404 if run.deleted else 204), response.text
            for other in self.all:
                other.deleted = other.deleted or other.thread_id == run.thread_id

        def teardown(self) -> None:
            """Every run has one end, and what was seen of it is what is stored."""
            for run in self.all:
                if run.deleted:
                    continue
                if not run.ended:
                    self._read(run, len(run.seen), 10**9)
                status = self.client.get(f"/runs/{run.run_id}").json()["status"]
                assert run.ended
                assert run.cancelled == (status == "cancelled")
                deltas = [_data_of(one) for one in run.seen if one.startswith("event: message.d")]
                text = "".join(delta["text"] for delta in deltas)
                stored = _data_of(run.seen[-2])["message"]["content"]
                assert text == stored
            self.client.close()

    explore(Streams, chance, 500 if full else 10)


def _frames(text: str) -> list[str]:
    *whole, _ = text.split("\n\n")
    return [frame for frame in whole if not frame.startswith(":")]


def _id_of(frame: str) -> str:
    return frame.partition("\nid: ")[2].partition("\n")[0]


def _data_of(frame: str) -> Any:
    return json.loads(frame.partition("\ndata: ")[2])
