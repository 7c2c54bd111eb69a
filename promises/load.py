"""Users who ask, stream, resume, stop and delete, and write down all that they are told.

    ledger, service = Ledger(), Service(urls, chance)
    person = Person(ledger, service, chance, token=make_token)
    asked = await person.ask("stream")
    await person.follow(asked)
    assert (await audit(ledger, service, database_url, files_url, tokens)).wrong == []

What a broken connection leaves open is asked again under the same idempotency key, as the contract
tells clients to, so every method ends with an answer, however often the program dies meanwhile. So
is a change that is refused by a code that the ledger expects, `trouble`; reads go on.
"""

import asyncio
import json
import random
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx2
from tests.api.helpers import Event, png

from promises.ledger import ENDS, Asked, Ledger, Requested, Sighting
from promises.markers import prompt_of
from promises.service import Service

Way = Literal["wait", "stream", "later"]
IfBusy = Literal["reject", "interrupt", "enqueue"]
_WAYS: tuple[Way, ...] = ("wait", "stream", "later")
_PICTURE = png()
_PAUSE_SECONDS = 0.05  # less than a client is asked to wait: more happens


class Person:
    """One user, in as many threads as they like."""

    def __init__(
        self, ledger: Ledger, service: Service, chance: random.Random, token: Callable[[str], str]
    ) -> None:
        self.user_id = f"u{chance.getrandbits(32):08x}"
        self.threads: list[str] = []
        self._ledger = ledger
        self._service = service
        self._chance = chance
        self._headers = {"Authorization": f"Bearer {token(self.user_id)}"}
        self._count = 0

    async def ask(
        self,
        way: Way,
        thread_id: str | None = None,
        *,
        if_busy: IfBusy = "enqueue",
        picture: bool = False,
    ) -> Asked:
        """Ask something new, and be told of the run; `follow` sees it to its end."""
        self._count += 1
        asked = self._note(prompt_of(self.user_id, self._count), thread_id, adds=True)
        body = {"prompt": asked.prompt, "thread_id": thread_id, "if_busy": if_busy}
        await self._send("/ask", asked, way, body, picture=picture)
        return asked

    async def regenerate(
        self, asked: Asked, way: Way, *, edit: bool = False, if_busy: IfBusy = "enqueue"
    ) -> Asked:
        """Have an acknowledged question answered again, or an edited version of it."""
        assert asked.run is not None
        self._count += 1
        prompt = prompt_of(self.user_id, self._count) if edit else asked.prompt
        again = self._note(prompt, asked.thread_id, adds=edit)
        body = {
            "thread_id": asked.thread_id, "message_id": asked.run["reply_to"], "if_busy": if_busy,
        }  # fmt: skip
        await self._send("/regenerate", again, way, body | ({"new_prompt": prompt} if edit else {}))
        return again

    async def follow(
        self, asked: Asked, sighting: Sighting | None = None, *, cuts: int = 0
    ) -> Sighting:
        """Watch a run to its end, hanging up `cuts` times on the way and coming back.

        Continues a sighting; without one, it begins with the first event.
        """
        if sighting is None:
            sighting = Sighting()
            asked.sightings.append(sighting)
        while sighting.end is None:
            after = {"Last-Event-ID": sighting.events[-1].id} if sighting.events else {}
            until = self._chance.randint(1, 12) if cuts > 0 else None
            cuts -= 1
            try:
                path = f"/runs/{asked.run_id}/events"
                async with self._open("GET", path, headers=after) as response:
                    if response.status_code != 200:
                        await self._end_of_log(asked, response)
                        break
                    await self._read(asked, response, sighting, until)
            except httpx2.TransportError:
                continue
        return sighting

    async def cancel(self, asked: Asked) -> None:
        """Stop a run, unless it has ended."""
        asked.cancel_sent = True
        response = await self._insist("POST", f"/runs/{asked.run_id}/cancel")
        if response.status_code == 200:
            asked.cancelled = True
        elif response.status_code != 409 and not self._is_deleted(asked, response):
            self._wrong("cancel", response)

    async def delete(self, thread_id: str) -> None:
        """Delete a thread, for good."""
        self._ledger.deleting.add(thread_id)
        if thread_id in self.threads:
            self.threads.remove(thread_id)
        response = await self._insist("DELETE", f"/threads/{self.user_id}/{thread_id}")
        if response.status_code not in {204, 404}:  # 404: a repetition of what had been done
            self._wrong("delete", response)
        self._ledger.deleted.add(thread_id)

    async def read(self, path: str, **sent: Any) -> httpx2.Response:
        """Read something, again until it comes whole."""
        return await self._insist("GET", path, **sent)

    async def act(self) -> None:
        """Do one thing that a user might do."""
        choose = self._chance
        thread_id = choose.choice(self.threads) if self.threads and choose.random() < 0.8 else None
        match choose.randrange(8):
            case 0 | 1:
                await self._ask_and_follow(
                    choose.choice(_WAYS), thread_id, cuts=choose.randrange(3)
                )
            case 2:
                await self._ask_and_follow("later", thread_id, watchers=2)
            case 3:
                asked = await self._ask_and_follow("stream", thread_id, picture=True)
                if asked.run:
                    again = await self.regenerate(asked, "later", edit=choose.random() < 0.5)
                    await self._see(again)
            case 4:
                asked = await self.ask("later", thread_id)
                if asked.run:
                    watching = asyncio.ensure_future(self._see(asked))
                    await asyncio.sleep(choose.uniform(0, 0.3))
                    await self.cancel(asked)
                    await watching
            case 5:
                many = [self._ask_and_follow("later", thread_id) for _ in range(3)]
                await asyncio.gather(*many)
            case 6:
                first = await self.ask("later", thread_id)
                if first.run:
                    second = await self.ask("later", first.thread_id, if_busy="interrupt")
                    await asyncio.gather(self._see(first), self._see(second))
            case 7:
                asked = await self.ask("later")
                watching = asyncio.ensure_future(self._see(asked))
                await asyncio.sleep(choose.uniform(0, 0.3))
                assert asked.thread_id is not None
                await self.delete(asked.thread_id)
                await watching

    async def _ask_and_follow(
        self, way: Way, thread_id: str | None, *, watchers: int = 1, cuts: int = 0, **more: Any
    ) -> Asked:
        asked = await self.ask(way, thread_id, **more)
        begun: Sighting | None = asked.sightings[0] if asked.sightings else None
        await asyncio.gather(
            self._see(asked, begun, cuts), *(self._see(asked) for _ in range(watchers - 1))
        )
        return asked

    async def _see(self, asked: Asked, begun: Sighting | None = None, cuts: int = 0) -> None:
        if asked.run is not None:
            await self.follow(asked, begun, cuts=cuts)

    def _note(self, prompt: str, thread_id: str | None, *, adds: bool) -> Asked:
        asked = Asked(self.user_id, prompt, adds, thread_id, self._ledger.now())
        self._ledger.asked.append(asked)
        return asked

    async def _send(
        self, path: str, asked: Asked, way: Way, body: dict[str, Any], *, picture: bool = False
    ) -> None:
        """Send a request until its run is known, or is refused."""
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        if way == "later":
            headers["Prefer"] = "respond-async"
        if body["if_busy"] == "interrupt":
            self._ledger.interrupted.add(str(asked.thread_id))
        body = {name: value for name, value in body.items() if value is not None}
        body["stream"] = "true" if picture and way == "stream" else way == "stream"
        sent: dict[str, Any] = {"json": body}
        if picture:
            sent = {"data": body, "files": {"file": ("a.png", _PICTURE, "image/png")}}
        while asked.run is None and asked.refused is None:
            try:
                async with self._open("POST", path, headers=headers, **sent) as response:
                    await self._take(asked, response)
            except httpx2.TransportError:
                continue

    async def _take(self, asked: Asked, response: httpx2.Response) -> None:
        """Read what an ask was answered with."""
        if "text/event-stream" in response.headers.get("content-type", ""):
            sighting = Sighting()
            try:
                await self._read(asked, response, sighting, None)
            finally:
                if sighting.events:
                    asked.sightings.append(sighting)
            return
        answer = json.loads(await response.aread())
        if response.status_code in {200, 202}:
            self._acknowledge(asked, answer["thread_id"], answer["run"])
        elif "run_id" in answer and response.status_code in {502, 503, 504}:
            # The run has failed, or cannot be watched now: either way it is there.
            run = {"run_id": answer["run_id"], "reply_to": answer.get("message_id")}
            self._acknowledge(asked, answer["thread_id"], run)
        else:
            asked.refused = answer["code"]
            if asked.refused == "thread_not_found" and asked.thread_id in self._ledger.deleting:
                return
            if asked.refused == "run_not_found" and asked.thread_id in self._ledger.deleting:
                return
            self._wrong("ask", response)

    def _acknowledge(self, asked: Asked, thread_id: str, run: dict[str, Any]) -> None:
        asked.run = run
        asked.acknowledged_at = asked.acknowledged_at or self._ledger.now()
        if asked.thread_id is None:
            asked.thread_id = thread_id
            self.threads.append(thread_id)

    async def _read(
        self, asked: Asked, response: httpx2.Response, sighting: Sighting, until: int | None
    ) -> None:
        count = 0
        async for sent in httpx2.EventSource(response):
            self._ledger.check_reader(self.user_id, sent.data, f"events of {asked.prompt}")
            event = Event(sent.event, sent.id or "", json.loads(sent.data))
            sighting.events.append(event)
            if event.name == "run.started" or event.name in ENDS:
                run = event.data["run"]
                self._acknowledge(asked, run["thread_id"], run)
            count += 1
            if count == until:
                return

    async def _end_of_log(self, asked: Asked, response: httpx2.Response) -> None:
        await response.aread()
        if response.status_code != 204 and not self._is_deleted(asked, response):
            self._wrong("watch", response)

    def _is_deleted(self, asked: Asked, response: httpx2.Response) -> bool:
        return response.status_code == 404 and asked.thread_id in self._ledger.deleting

    def _wrong(self, what: str, response: httpx2.Response) -> None:
        self._ledger.wrong.append(f"{what} was answered {response.status_code} {response.text}")

    async def _insist(self, method: str, path: str, **sent: Any) -> httpx2.Response:
        while True:
            try:
                async with self._open(method, path, **sent) as response:
                    await response.aread()
                    text = (
                        response.text if "json" in response.headers.get("content-type", "") else ""
                    )
                    self._ledger.check_reader(self.user_id, text, path)
                    return response
            except httpx2.TransportError:
                continue

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, **sent: Any
    ) -> AsyncGenerator[httpx2.Response, None]:
        headers = self._headers | sent.pop("headers", {})
        at, status = self._ledger.now(), None
        try:
            async with self._service.open(method, path, headers=headers, **sent) as response:
                if method != "GET":
                    await self._see_trouble(response)
                yield response
                status = response.status_code
        finally:
            self._ledger.requests.append(
                Requested(at, self.user_id, method, path, headers.get("Idempotency-Key"), status)
            )

    async def _see_trouble(self, response: httpx2.Response) -> None:
        """Take a refusal that is expected now for an outcome that is not known."""
        if response.status_code != 503 or not self._ledger.trouble:
            return
        code = json.loads(await response.aread())["code"]
        if code in self._ledger.trouble and response.headers.get("retry-after"):
            self._ledger.refusals[code] += 1
            await asyncio.sleep(_PAUSE_SECONDS)
            raise httpx2.TransportError(code)
