"""What is another user's costs the server what does not exist costs it: no clock tells them apart.

A clock on a busy machine tells little, so the work is measured: the CPU time of the server, and the
bytes and calls by which it reads and writes. Requests for both come in turns, so that what disturbs
one disturbs the other, and what the server does by itself meanwhile is in both.
"""

import random
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from tests.api.helpers import png
from tests.model_server import Answer, ModelServerSimulation
from tests.processes import ServerProcess, server_process

from promises.crowd import settings_for, token_of
from promises.meters import cpu_seconds, traffic

WORK = ("CPU", "bytes", "calls")
MOST = 1.1
_BATCH = 10
_MESSAGES = 20
_TRIES = 4

Ids = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A request of ada's that needs one of these ids; `{name}` stands for it."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None

    def of(self, ids: Ids) -> dict[str, Any]:
        """Return what is sent for these ids."""
        url = self.path.format(**ids)
        if self.body is None:
            return {"method": self.method, "url": url}
        body = {
            name: ids[value[1:-1]] if str(value).startswith("{") else value
            for name, value in self.body.items()
        }
        return {"method": self.method, "url": url, "json": body}


REQUESTS = {
    "read a thread": Request("GET", "/threads/ada/{thread_id}"),
    "read its files": Request("GET", "/threads/ada/{thread_id}/messages-with-files"),
    "download them": Request("GET", "/threads/ada/{thread_id}/download-files"),
    "change a thread": Request("PATCH", "/threads/ada/{thread_id}", {"title": "New"}),
    "delete a thread": Request("DELETE", "/threads/ada/{thread_id}"),
    "read a run": Request("GET", "/runs/{run_id}"),
    "watch a run": Request("GET", "/runs/{run_id}/events"),
    "stop a run": Request("POST", "/runs/{run_id}/cancel"),
    "read a file": Request("GET", "/get-file/{file_id}"),
    "ask in a thread": Request("POST", "/ask", {"prompt": "Hm?", "thread_id": "{thread_id}"}),
    "ask with a file": Request("POST", "/ask", {"prompt": "Hm?", "file_id": "{file_id}"}),
    "reply": Request(
        "POST", "/ask", {"prompt": "Hm?", "thread_id": "{own}", "reply_to": "{message_id}"}
    ),
    "regenerate": Request(
        "POST", "/regenerate", {"thread_id": "{thread_id}", "message_id": "{message_id}"}
    ),
    "regenerate a message": Request(
        "POST", "/regenerate", {"thread_id": "{own}", "message_id": "{message_id}"}
    ),
    "go to a message": Request("PATCH", "/threads/ada/{own}", {"head_id": "{message_id}"}),
}


async def test_another_users_thing_costs_the_server_what_a_thing_that_is_not_there_costs_it(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = Answer(text="Well.")
    with server_process(tmp_path, **settings_for(upstream)) as server:
        await server.start()
        own, theirs = [await _things(server.url, user_id) for user_id in ("ada", "bob")]
        own_id = {"own": own["thread_id"]}
        there, nowhere = theirs | own_id, _absent(theirs) | own_id
        ratios: dict[str, dict[str, float]] = {}
        async with _client(server.url, "ada") as ada:
            meter = Meter(server, ada, chance)
            for name, request in REQUESTS.items():
                ratios[name] = await meter.compare(request, there, nowhere, 100 if full else 8)
    apart = {name: found for name, found in ratios.items() if not _alike(found)}
    print({what: max(_distance(found[what]) for found in ratios.values()) for what in WORK})  # noqa: T201
    assert apart == {}


def _alike(ratios: Mapping[str, float]) -> bool:
    return all(_distance(ratio) <= MOST for ratio in ratios.values())


def _distance(ratio: float) -> float:
    return round(max(ratio, 1 / ratio), 3)


def _client(url: str, user_id: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {token_of(user_id)}"}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=30)


async def _things(url: str, user_id: str) -> dict[str, Any]:
    """Have a user make much of everything, and return the ids of it."""
    async with _client(url, user_id) as client:
        picture = {"file": ("a.png", png(size=(1_000, 1_000)), "image/png")}
        answer = (await client.post("/ask", data={"prompt": "What?"}, files=picture)).json()
        body = {"prompt": "And?" * 100, "thread_id": answer["thread_id"]}
        for _ in range(_MESSAGES):
            last = (await client.post("/ask", json=body)).json()
    return {
        "thread_id": answer["thread_id"],
        "run_id": last["run"]["run_id"],
        "message_id": last["user_message"]["message_id"],
        "file_id": answer["user_message"]["image_id"],
    }


def _absent(ids: Ids) -> dict[str, Any]:
    """Return ids of the same form and length that nobody has."""
    return {
        name: f"{known.partition('_')[0]}_{'0' * 32}"
        if isinstance(known, str)
        else 10 ** len(str(known)) - 1
        for name, known in ids.items()
    }


class Meter:
    """Tells what requests cost the server."""

    def __init__(
        self, server: ServerProcess, client: httpx2.AsyncClient, chance: random.Random
    ) -> None:
        self._server = server
        self._client = client
        self._chance = chance

    async def compare(
        self, request: Request, there: Ids, nowhere: Ids, batches: int
    ) -> dict[str, float]:
        """Return by how much the first costs more.

        What looks like a difference is looked at again, longer: one that is there stays.
        """
        for times in range(_TRIES):
            ratios = await self._ratios(request, (there, nowhere), batches * 2**times)
            if _alike(ratios):
                break
        return ratios

    async def _ratios(
        self, request: Request, both: tuple[Ids, Ids], batches: int
    ) -> dict[str, float]:
        costs: dict[int, list[dict[str, float]]] = {0: [], 1: []}
        for _ in range(batches):
            for which in self._chance.sample([0, 1], 2):
                costs[which].append(await self._cost(request.of(both[which])))
        medians = [
            {what: statistics.median(cost[what] for cost in costs[which]) for what in WORK}
            for which in (0, 1)
        ]
        return {what: medians[0][what] / medians[1][what] for what in WORK}

    async def _cost(self, sent: dict[str, Any]) -> dict[str, float]:
        before = self._read()
        for _ in range(_BATCH):
            response = await self._client.request(**sent)
            assert response.status_code == 404, response.text
        return {what: value - before[what] for what, value in self._read().items()}

    def _read(self) -> dict[str, float]:
        size, calls = traffic(self._server.pid)
        return {"CPU": cpu_seconds(self._server.pid), "bytes": size, "calls": calls}
