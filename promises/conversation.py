"""One conversation with the program that uses every operation in all its forms."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2
from tests.api.helpers import Event, png, watch
from tests.model_server import Answer, ModelServerSimulation

from promises.transcript import Transcript

LONG = (
    "# Sky\n\nThe sky is *blue* 🌈 because\n\n"
    "- air scatters 【4:0†source】\n- short waves <b>more</b>.\n"
)
LATER = {"Prefer": "respond-async"}
_ODD = "Zero\u200bwidth, שלום, 👩‍🚀, é and e\u0301; ' OR 1=1 -- \\ %_ \t end"


class Conversation:
    """Talks as a key of several users, step by step, and writes down each answer."""

    def __init__(self, client: httpx2.AsyncClient, upstream: ModelServerSimulation) -> None:
        self.client = client
        self.upstream = upstream
        self.said = Transcript()
        upstream.default = Answer(text=LONG, pieces=7)

    async def hold(self) -> None:
        """Go through everything."""
        await self._asks()
        await self._versions()
        await self._pictures()
        await self._runs()
        await self._repetitions()
        await self._busy_threads()
        await self._failures()
        await self._refusals()
        await self._reading()
        await self._endings()

    async def _send(self, step: str, method: str, path: str, **sent: Any) -> Any:
        response = await self.client.request(method, path, **sent)
        self.said.note(step, response)
        is_json = "json" in response.headers.get("content-type", "")
        return response.json() if is_json else response

    async def _ask(self, step: str, prompt: str, headers: Any = None, **body: Any) -> Any:
        body = {"user_id": "ada", "prompt": prompt} | body
        return await self._send(step, "POST", "/ask", json=body, headers=headers)

    async def _ask_for_later(self, step: str, prompt: str, **body: Any) -> Any:
        """Ask without waiting: how far the run is by then is a matter of luck."""
        sent = {"user_id": "ada", "prompt": prompt} | body
        response = await self.client.post("/ask", json=sent, headers=LATER)
        asked = response.json()
        self.said.note(step, response, self.said.plain(asked["user_message"]))
        return asked

    async def _stream(
        self, step: str, method: str, path: str, *, before: Sequence[Event] = (), **sent: Any
    ) -> None:
        async with self.client.stream(method, path, **sent) as response:
            await self.said.note_events(step, response, before=before)

    async def _held(self, step: str, prompt: str, **body: Any) -> Any:
        """Ask, and wait until all that the model says before it is held has been told."""
        self.upstream.script(Answer(text=LONG, pieces=7, pause_after=4))
        asked = await self._ask_for_later(step, prompt, **body)
        path, said = f"/runs/{asked['run']['run_id']}/events", 0
        async with self.client.stream("GET", path) as response:
            async for sent in httpx2.EventSource(response):
                said += len(json.loads(sent.data).get("text", ""))
                if said == 4 * 7:
                    return asked
        raise AssertionError("it was not held")

    async def _asks(self) -> None:
        first = await self._ask("ask", "Why is the sky blue?")
        self.thread = first["thread_id"]
        await self._ask("go on", "And red?", thread_id=self.thread)
        await self._ask("ask for html", _ODD, thread_id=self.thread, format="html")
        quoted = first["message"]["message_id"]
        await self._ask("quote", "What was that?", thread_id=self.thread, reply_to=quoted)
        form = {"user_id": "ada", "prompt": "By a form?"}
        await self._send("urlencoded ask", "POST", "/ask", data=form)
        body = {"user_id": "ada", "prompt": "Stream.", "stream": True}
        await self._stream("stream", "POST", "/ask", json=body)
        await self._stream("stream html", "POST", "/ask", json=body | {"format": "html"})
        accept = {"Accept": "text/event-stream"}
        body = {"user_id": "ada", "prompt": "Accept."}
        await self._stream("stream by header", "POST", "/ask", json=body, headers=accept)
        later = await self._ask_for_later("ask for later", "Later.")
        self.run = later["run"]["run_id"]
        await self._stream("watch", "GET", f"/runs/{self.run}/events")

    async def _versions(self) -> None:
        await self._send("the thread", "GET", f"/threads/ada/{self.thread}")
        body = {"user_id": "ada", "thread_id": self.thread}
        again = await self._send("regenerate", "POST", "/regenerate", json=body)
        question = again["user_message"]["message_id"]
        edit = body | {"message_id": question, "new_prompt": "What was this?", "stream": True}
        await self._stream("edit", "POST", "/regenerate", json=edit)
        for branch in ("active", "all"):
            path, params = f"/threads/ada/{self.thread}", {"branch": branch, "format": "html"}
            await self._send(f"branch {branch}", "GET", path, params=params)
        head = {"head_id": question}
        await self._send("choose", "PATCH", f"/threads/ada/{self.thread}", json=head)
        await self._send("chosen", "GET", f"/threads/ada/{self.thread}")
        title = {"title": "The blue sky"}
        await self._send("rename", "PATCH", f"/threads/ada/{self.thread}", json=title)
        await self._pages("older", f"/threads/ada/{self.thread}", branch="all", limit="3")

    async def _pages(self, step: str, path: str, **params: str) -> None:
        cursor: str | None = ""
        while cursor is not None:
            asked_for = params | ({"cursor": cursor} if cursor else {})
            page = await self._send(step, "GET", path, params=asked_for)
            cursor = page["next_cursor"]

    async def _pictures(self) -> None:
        data = {"user_id": "ada", "prompt": "What is this?"}
        files = [
            ("file", ("a.png", png(), "image/png")),
            ("file", ("a.png", png("blue", (700, 300)), "image/png")),
        ]
        both = await self._send("ask with pictures", "POST", "/ask", data=data, files=files)
        thread, shown = both["thread_id"], both["user_message"]["files"]
        stored = await self._send(
            "upload", "POST", "/upload-file", files={"file": ("ü x.png", png("lime"), "image/png")}
        )
        file_ids = [stored["file_id"]]
        await self._ask("picture alone", "", thread_id=thread, file_ids=file_ids)
        await self._send("not a picture", "POST", "/upload-file", files={"file": b"text"})
        await self._send("half", "POST", "/upload-file", files={"file": png()[:60]})
        url = shown[1]["url"]
        whole = await self._send("by link", "GET", url, headers={"Authorization": ""})
        await self._send("range", "GET", url, headers={"Range": "bytes=10-19"})
        await self._send("bad range", "GET", url, headers={"Range": "bytes=99999999-"})
        same = {"If-None-Match": whole.headers["etag"]}
        await self._send("unchanged", "GET", url, headers=same)
        path = f"/get-file/{shown[1]['file_id']}"
        for size in ("64", "256", "1024", "63"):
            await self._send(f"thumbnail {size}", "GET", path, params={"size": size})
        await self._send("thumbnail by link", "GET", shown[1]["thumbnail_url"])
        await self._send("changed link", "GET", url[:-1] + ("A" if url[-1] != "A" else "B"))
        await self._send("files", "GET", f"/threads/ada/{thread}/messages-with-files")
        await self._send("zip", "GET", f"/threads/ada/{thread}/download-files")
        taken = {"user_id": "bob", "prompt": "Mine?", "file_ids": file_ids}
        await self._send("another's picture", "POST", "/ask", json=taken)

    async def _runs(self) -> None:
        await self._send("run", "GET", f"/runs/{self.run}")
        events = await watch(self.client, self.run)
        path = f"/runs/{self.run}/events"
        for name, seen in (("nothing", 1), ("the middle", len(events) // 2), ("all", -1)):
            before = events[:seen]
            after = {"Last-Event-ID": before[-1].id}
            await self._stream(f"after {name}", "GET", path, before=before, headers=after)
        await self._stream("in html", "GET", path, params={"format": "html"})
        for name, position in (("the end", events[-1].id), ("no id", "x"), ("a future", "9-1")):
            after = {"Last-Event-ID": position}
            await self._send(f"after {name}", "GET", path, headers=after)
        run_id = (await self._held("to be stopped", "Stop."))["run"]["run_id"]
        await self._send("stop", "POST", f"/runs/{run_id}/cancel")
        await self._send("stop again", "POST", f"/runs/{run_id}/cancel")
        await self._stream("watch stopped", "GET", f"/runs/{run_id}/events")

    async def _repetitions(self) -> None:
        key = {"Idempotency-Key": "once"}
        await self._ask("once", "Once.", key)
        await self._ask("twice", "Once.", key)
        await self._ask("otherwise", "Other.", key)
        body, at_once = {"user_id": "ada", "prompt": "At once."}, {"Idempotency-Key": "at-once"}
        both = await asyncio.gather(
            *(self.client.post("/ask", json=body, headers=at_once) for _ in range(2))
        )
        assert both[0].json()["run"]["run_id"] == both[1].json()["run"]["run_id"]
        self.said.note("at once", both[0])

    async def _busy_threads(self) -> None:
        busy = await self._held("held", "Wait.")
        thread, run_id = busy["thread_id"], busy["run"]["run_id"]
        await self._ask("reject", "Now?", thread_id=thread)
        waits = await self._ask_for_later("enqueue", "Then?", thread_id=thread, if_busy="enqueue")
        self.upstream.release()
        for name, run in (("held", run_id), ("enqueued", waits["run"]["run_id"])):
            await self._stream(f"watch {name}", "GET", f"/runs/{run}/events")
        held = await self._held("held again", "Wait.", thread_id=thread)
        await self._ask("interrupt", "Stop!", thread_id=thread, if_busy="interrupt")
        await self._stream("interrupted", "GET", f"/runs/{held['run']['run_id']}/events")
        await self._send("the busy thread", "GET", f"/threads/ada/{thread}")

    async def _failures(self) -> None:
        for name, answer in {
            "bad request": Answer(status=400),
            "cut": Answer(text=LONG, pieces=7, cut_after=3),
            "short": Answer(text=LONG, pieces=7, incomplete_reason="max_output_tokens"),
            "empty": Answer(text=""),
            "limited": Answer(status=429, headers={"Retry-After": "60"}),
        }.items():
            self.upstream.script(answer)
            failed = await self._ask(name, f"Fail: {name}.")
            self.upstream.script(answer)
            body = {"user_id": "ada", "prompt": f"Fail: {name}.", "stream": True}
            await self._stream(f"stream {name}", "POST", "/ask", json=body)
            again = {"user_id": "ada", "thread_id": failed["thread_id"]}
            await self._send(f"after {name}", "POST", "/regenerate", json=again)

    async def _refusals(self) -> None:
        await self._send("nobody", "GET", "/threads/ada", headers={"Authorization": ""})
        nowhere = "thread_" + 32 * "0"
        await self._send("no thread", "GET", f"/threads/ada/{nowhere}")
        await self._send("another's thread", "GET", f"/threads/bob/{self.thread}")
        await self._ask("ask no thread", "Hm?", thread_id=nowhere)
        await self._send("no run", "GET", "/runs/run_" + 32 * "0")
        await self._send("no file", "GET", "/get-file/file_" + 32 * "0")
        await self._send("no path", "GET", "/nowhere")
        await self._send("no method", "PUT", "/ask")
        await self._ask("no prompt", " ")
        await self._ask("NUL", "a\0b")
        await self._ask("unknown name", "Hm?", promt="Hm?")
        await self._ask("too far", "Hm?", thread_id=self.thread, reply_to=2**62)
        headers = {"Content-Type": "application/json"}
        await self._send("no JSON", "POST", "/ask", content=b"{", headers=headers)
        headers = {"Content-Type": "text/plain"}
        await self._send("no type", "POST", "/ask", content=b"{}", headers=headers)
        await self._send("cursor", "GET", "/threads/ada", params={"cursor": "x"})
        await self._send("limit", "GET", "/threads/ada", params={"limit": "101"})

    async def _reading(self) -> None:
        await self._pages("threads", "/threads/ada", limit="7")
        for words in ("sky", "blu sk", "שלום", "nothing-like-it", "' OR *", "é", "stop"):
            await self._pages(f"search {words}", "/search/ada", q=words, limit="9")
        await self._send("another's search", "GET", "/search/bob", params={"q": "sky"})
        await self._send("usage", "GET", "/usage/ada")
        for path in ("/healthz", "/readyz"):
            await self._send(path, "GET", path)
        self.said.note("metrics", await self.client.get("/metrics"), "as they are")

    async def _endings(self) -> None:
        await self._send("export", "GET", "/users/ada/export")
        running = await self._held("running", "Go on.", thread_id=self.thread)
        await self._send("delete", "DELETE", f"/threads/ada/{self.thread}")
        assert await self.upstream.requests[-1].wait_closed()
        await self._send("deleted run", "GET", f"/runs/{running['run']['run_id']}")
        await self._send("deleted thread", "GET", f"/threads/ada/{self.thread}")
        await self._send("delete again", "DELETE", f"/threads/ada/{self.thread}")
        await self._send("threads left", "GET", "/threads/ada", params={"limit": "100"})
        await self._send("erase", "DELETE", "/users/ada")
        await self._send("erased", "GET", "/users/ada/export")
        await self._send("nothing left", "GET", "/threads/ada")
        await self._send("nothing found", "GET", "/search/ada", params={"q": "sky"})
