"""What an API says, with plain names for the ids, moments and signatures that no two runs share."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from tests.api.helpers import Event, read_events, text_of

_IDS = re.compile(r"(?:thread|run|file)_[0-9a-f]{32}")
_SIGNED = re.compile(r"expires=[0-9]+&signature=[\w-]+")
_MESSAGE_IDS = {"message_id", "reply_to", "parent_id", "head_id", "ids", "versions"}
_MOMENTS = {"message_time", "exported_at"}
_OPAQUE = {"request_id", "next_cursor", "cursor"}
_HEADERS = (
    "content-type", "content-disposition", "content-range", "content-length", "accept-ranges",
    "allow", "cache-control", "etag", "location", "preference-applied", "retry-after",
    "www-authenticate", "x-content-type-options", "content-security-policy",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One step, and what came of it."""

    step: str
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Transcript:
    """All steps of one conversation with the program, comparable with those of another."""

    entries: list[Entry] = field(default_factory=list)
    called: set[tuple[str, str]] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)

    def note(self, step: str, response: httpx2.Response, body: Any = None) -> None:
        """Write down a response; its body is read by its type unless it is given."""
        self.called.add((response.request.method, response.request.url.path))
        headers = {
            name: self._text(response.headers[name])
            for name in _HEADERS
            if name in response.headers
        }
        if body is None:
            body = self._body(response)
        if not headers.get("content-type", "").startswith("image/"):  # ids have no one length
            headers.pop("content-length", None)
        self.entries.append(Entry(step, response.status_code, headers, body))

    async def note_events(
        self, step: str, response: httpx2.Response, *, before: Sequence[Event] = ()
    ) -> None:
        """Write down a stream to its end, its deltas joined and each block as it was last.

        Deltas that come together may be one, so where they are divided is nothing to compare.
        """
        events = [*before, *await read_events(response)]
        said = [
            (event.name, self.plain(_as_begun(event)))
            for event in events
            if event.name not in {"message.delta", "message.block"}
        ]
        blocks = {e.data["index"]: e.data["html"] for e in events if e.name == "message.block"}
        self.note(step, response, {"events": said, "text": text_of(events), "blocks": blocks})

    def plain(self, value: Any, name: str = "") -> Any:
        """Return a value of JSON with plain names for what no two runs share."""
        match value:
            case dict():
                return {key: self.plain(item, key) for key, item in value.items()}
            case list() | tuple():
                return [self.plain(item, name) for item in value]
            case str() if name.endswith("_at") or name in _MOMENTS:
                return "a moment"
            case str() if name in _OPAQUE:
                return "opaque"
            case str():
                return self._text(value)
            case int() if name in _MESSAGE_IDS:
                return f"message {self._numbers.setdefault(value, len(self._numbers) + 1)}"
        return value

    def _text(self, text: str) -> str:
        text = _SIGNED.sub("signed", text)
        return _IDS.sub(lambda match: self._name(match[0]), text)

    def _name(self, found: str) -> str:
        kind = found.partition("_")[0]
        count = sum(name.startswith(kind) for name in self._names.values())
        return self._names.setdefault(found, f"{kind} {count + 1}")

    def _body(self, response: httpx2.Response) -> Any:
        kind = response.headers.get("content-type", "")
        if "json" in kind:
            return self.plain(response.json())
        if "zip" in kind:
            return self._members(response.content)
        return hashlib.sha256(response.content).hexdigest()

    def _members(self, data: bytes) -> list[Any]:
        """Return what is in a ZIP; files are told by their ids in no order that two runs share."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            names = sorted(self._text(info.filename) for info in archive.infolist())
            members = [self._member(archive.read(i), i.filename) for i in archive.infolist()]
        return [names, *sorted(members, key=str)]

    def _member(self, data: bytes, filename: str) -> Any:
        if not filename.endswith((".json", ".jsonl")):
            return hashlib.sha256(data).hexdigest()
        lines = [self.plain(json.loads(line)) for line in data.splitlines()]
        return sorted(lines, key=str) if filename == "files.jsonl" else lines


def _as_begun(event: Event) -> dict[str, Any]:
    """Return the data of an event, for `run.started` without how far the run has come.

    Who comes after the end to a replica whose log is a moment behind is told from the database, and
    there the run has ended.
    """
    if event.name != "run.started":
        return event.data
    kept = {name: event.data["run"][name] for name in ("run_id", "thread_id", "message_id")}
    return {**event.data, "run": kept}
