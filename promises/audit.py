"""Reads everything back, by the API and from the stores, and says what does not hold.

The invariants are those that the program promises after every fault, crash and race:

- I1 an acknowledged message is present exactly once, I2 and none without a request;
- I3 the order in a thread is the order of acknowledgement;
- I4 every run reaches exactly one end;
- I5 a stored answer equals its deltas joined, or what was delivered of it, if it was stopped;
- I6 every record of a file has its bytes;
- I7 nothing of one user reaches another;
- I8 the database holds together.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx2
from tests.api.helpers import Event

from gpt_assistant_api.blobs import open_blobs, original_key
from gpt_assistant_api.db import Database, open_database
from gpt_assistant_api.domain.errors import UnavailableError
from promises.ledger import Asked, Ledger, Sighting
from promises.load import Person
from promises.markers import fails, is_answer, marker_of, users_in

_PATIENCE_SECONDS = 60.0
_AT_A_TIME = 20
_ENDS = {
    "completed": "run.completed",
    "incomplete": "run.completed",
    "failed": "run.failed",
    "cancelled": "run.cancelled",
}
_TABLES = ("users", "threads", "messages", "runs", "files", "message_files", "idempotency_keys")

Row = dict[str, Any]


@dataclass
class Stored:
    """Every row of one snapshot of the database, by table."""

    rows: dict[str, list[Row]]
    messages: dict[int, Row] = field(init=False)
    runs: dict[str, Row] = field(init=False)
    threads: dict[str, Row] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = {row["message_id"]: row for row in self.rows["messages"]}
        self.runs = {row["run_id"]: row for row in self.rows["runs"]}
        self.threads = {row["thread_id"]: row for row in self.rows["threads"]}


@dataclass
class Audit:
    """What was found. `wrong` is empty when every promise held."""

    wrong: list[str]
    figures: dict[str, int]


async def audit(
    ledger: Ledger,
    people: Sequence[Person],
    *,
    database_url: str,
    files_url: str,
    log_is_lost: bool = False,
) -> Audit:
    """Wait until every run has ended, then hold everything that is stored against the ledger.

    The program must be running, and nobody else may be asking it anything. `log_is_lost` when the
    event log died with a program: who comes back for the rest is then given the whole message.
    """
    by_id = {person.user_id: person for person in people}
    database = await open_database(database_url, migrate=False, max_connections=2)
    try:
        unfinished = await _settle(database)
        live = [asked for asked in ledger.acknowledged if asked.thread_id not in ledger.deleting]
        await _together(by_id[asked.user_id].follow(asked) for asked in live)
        stored = await _read_all(database)
        wrong = [*ledger.wrong, *(f"I4 {run_id} does not end" for run_id in unfinished)]
        wrong += [*_at_any_time(ledger, stored), *_unfinished(stored)]
        for asked in live:
            wrong += _answer(ledger, asked, stored, log_is_lost=log_is_lost)
        wrong += await _integrity(database)
        wrong += await _bytes(stored, files_url)
    finally:
        await database.close()
    for person in people:
        wrong += await _as_read(person, stored)
    runs = Counter(f"runs {row['status']}" for row in stored.runs.values())
    attempts = sum(row["attempt"] > 1 for row in stored.runs.values())
    figures = {**ledger.figures(), **runs, "runs begun again": attempts}
    return Audit(wrong, figures | {"messages": len(stored.messages)})


async def _together(watching: Iterable[Coroutine[Any, Any, Sighting]]) -> None:
    """Watch a few at a time."""
    few = asyncio.Semaphore(_AT_A_TIME)

    async def one(watched: Coroutine[Any, Any, Sighting]) -> None:
        async with few:
            await watched

    await asyncio.gather(*(one(watched) for watched in watching))


async def audit_stored(ledger: Ledger, database_url: str) -> list[str]:
    """Return what does not hold of what must hold at any time, also where the program is dead."""
    database = await open_database(database_url, migrate=False, max_connections=2)
    try:
        stored = await _read_all(database)
        return [*_at_any_time(ledger, stored), *(await _integrity(database))]
    finally:
        await database.close()


def _at_any_time(ledger: Ledger, stored: Stored) -> Iterator[str]:
    yield from _references(stored)
    yield from _deleted(ledger, stored)
    yield from _questions(ledger, stored)


async def _settle(database: Database) -> list[str]:
    """Return the runs that have not ended in all this time."""
    until = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        async with database.read() as tx:
            rows = await tx.fetch_all(
                "SELECT run_id FROM runs WHERE status IN ('queued', 'in_progress')"
            )
        if not rows or asyncio.get_running_loop().time() > until:
            return [row["run_id"] for row in rows]
        await asyncio.sleep(0.1)


async def _read_all(database: Database) -> Stored:
    async with database.read() as tx:
        return Stored({table: await tx.fetch_all(f"SELECT * FROM {table}") for table in _TABLES})


def _references(stored: Stored) -> Iterator[str]:
    """I8: what refers to something refers to something that is there, and fits it."""
    for row in stored.messages.values():
        yield from _message(row, stored)
    for thread in stored.threads.values():
        head = stored.messages.get(thread["head_id"])
        if head is None or head["thread_id"] != thread["thread_id"]:
            yield f"I8 {thread['thread_id']} has no head"
    for run in stored.runs.values():
        answer = stored.messages.get(run["message_id"])
        if answer is None or answer["run_id"] != run["run_id"]:
            yield f"I8 {run['run_id']} has no answer"
    for known in stored.rows["idempotency_keys"]:
        if known["run_id"] not in stored.runs:
            yield "I8 an idempotency key is for no run"


def _message(row: Row, stored: Stored) -> Iterator[str]:
    name, thread = f"message {row['message_id']}", stored.threads.get(row["thread_id"])
    if thread is None or thread["user_id"] != row["user_id"]:
        yield f"I8 {name} is in nobody's thread, or in another user's"
    parent = stored.messages.get(row["parent_id"])
    if (parent is None) != (row["parent_id"] is None):
        yield f"I8 {name} has lost its parent"
    elif parent is not None and parent["thread_id"] != row["thread_id"]:
        yield f"I8 {name} has a parent in another thread"
    if parent is not None and parent["message_id"] >= row["message_id"]:
        yield f"I3 {name} is older than its parent"
    if row["role"] == "assistant" and row["run_id"] not in stored.runs:
        yield f"I2 {name} is an answer of no run"
    if row["role"] == "assistant" and (parent is None or parent["role"] != "user"):
        yield f"I8 {name} answers nothing"


def _unfinished(stored: Stored) -> Iterator[str]:
    """I4: where every run has ended, nothing goes on or waits."""
    for thread in stored.threads.values():
        if thread["active_run_id"] is not None:
            yield f"I4 {thread['thread_id']} is held by {thread['active_run_id']}"
    for message in stored.messages.values():
        if message["status"] == "in_progress":
            yield f"I4 message {message['message_id']} does not end"


def _deleted(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """Deletion wins: of a thread that was deleted nothing comes back."""
    for table in ("threads", "messages", "runs"):
        left = {row["thread_id"] for row in stored.rows[table]} & ledger.deleted
        yield from (f"{table} has something of {thread_id}, deleted" for thread_id in left)


def _questions(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """I1, I2, I3: the questions that are stored are those that were asked, in order."""
    found = defaultdict(list)
    for row in stored.messages.values():
        if row["role"] == "user":
            found[row["content"]].append(row)
    asked_for = {asked.prompt: asked for asked in ledger.asked if asked.adds}
    for prompt, rows in found.items():
        asked = asked_for.get(prompt)
        if asked is None or asked.user_id != rows[0]["user_id"]:
            yield f"I2 nobody asked {prompt!r}"
        if len(rows) > 1:
            yield f"I1 {prompt!r} is there {len(rows)} times"
        if asked and asked.refused:
            yield f"I2 {prompt!r} was refused and is there"
    in_thread = defaultdict(list)
    for asked in asked_for.values():
        if asked.acknowledged_at is None or asked.thread_id in ledger.deleting:
            continue
        if asked.prompt not in found:
            yield f"I1 {asked.prompt!r} was acknowledged and is lost"
        else:
            in_thread[asked.thread_id].append((asked, found[asked.prompt][0]["message_id"]))
    for many in in_thread.values():
        yield from _order(many)


def _order(questions: list[tuple[Asked, int]]) -> Iterator[str]:
    for first, first_id in questions:
        for second, second_id in questions:
            assert first.acknowledged_at is not None
            if first.acknowledged_at < second.sent_at and first_id > second_id:
                yield f"I3 {second.prompt!r} was asked after {first.prompt!r} and stands before it"


def _answer(ledger: Ledger, asked: Asked, stored: Stored, *, log_is_lost: bool) -> Iterator[str]:
    """I4, I5: the run has one end, which everybody was told, and the text that they were told."""
    run = stored.runs.get(asked.run_id)
    if run is None:
        yield f"I1 {asked.run_id} of {asked.prompt!r} was acknowledged and is lost"
        return
    answer = stored.messages[run["message_id"]]
    status, name = run["status"], f"{run['run_id']} of {asked.prompt!r}"
    may_be_cancelled = asked.cancel_sent or asked.thread_id in ledger.interrupted
    fair = {"failed"} if fails(marker_of(asked.prompt)) else {"completed"}
    if status not in fair | ({"cancelled"} if may_be_cancelled else set()):
        yield f"I4 {name} is {status} ({run['error_code']})"
    if asked.cancelled and status != "cancelled":
        yield f"I4 {name} was stopped and is {status}"
    if not is_answer(answer["content"], asked.prompt, whole=status == "completed"):
        yield f"I5 {name} has an answer that the model did not give: {answer['content']!r}"
    for sighting in asked.sightings:
        found = _seen(sighting, run, answer, may_be_cut=log_is_lost or status == "cancelled")
        yield from (f"{wrong} in a sighting of {name}, {status}" for wrong in found)


def _seen(sighting: Sighting, run: Row, answer: Row, *, may_be_cut: bool) -> Iterator[str]:
    """Tell what does not fit in what one client saw of a run."""
    events = sighting.events
    if [event for event in events if event.name in set(_ENDS.values())][:-1]:
        yield "I4 more than one end"
    ids = [_position(event) for event in events]
    if any(second <= first for first, second in pairwise(ids)):
        yield f"I5 ids that do not ascend: {ids}"
    text = ""
    for event in events:
        if event.name == "run.restarted":
            text = ""
        elif event.name == "message.delta":
            if event.data["offset"] != len(text):
                yield f"I5 a gap before {event.id}: {event.data['offset']} is not {len(text)}"
                return
            text += event.data["text"]
        elif (
            event.name == "message.completed"
            and event.data["message"]["content"] != (answer["content"])
        ):
            yield "I5 an answer that is not the stored one"
    if sighting.end is None:
        yield "I4 no end"
    elif sighting.end.name != _ENDS[run["status"]]:
        yield f"I4 the end {sighting.end.name} where {run['status']} is stored"
    if text != answer["content"] and not may_be_cut:
        yield f"I5 deltas that are not the stored answer: {text!r}"
    elif not (text.startswith(answer["content"]) or answer["content"].startswith(text)):
        yield f"I5 deltas that the stored answer does not begin with: {text!r}"


def _position(event: Event) -> tuple[int, int]:
    attempt, number = event.id.split("-")
    return int(attempt), int(number)


async def _integrity(database: Database) -> list[str]:
    """I8: the database's own check, where it has one."""
    async with database.read() as tx:
        if tx.dialect == "sqlite":
            checked = await tx.fetch_all("PRAGMA integrity_check")
            lost = await tx.fetch_all("PRAGMA foreign_key_check")
            problems = [str(row) for row in checked if "ok" not in row.values()]
            problems += [*map(str, lost), *await _search_index(database)]
            return [f"I8 {problem}" for problem in problems]
        invalid = await tx.fetch_all("SELECT indexrelid FROM pg_index WHERE NOT indisvalid")
        return [f"I8 an invalid index: {row}" for row in invalid]


async def _search_index(database: Database) -> list[str]:
    """The index of the search agrees with the messages, or they are noted as missing in it."""
    try:
        async with database.write() as tx:
            await tx.execute(
                "INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)"
            )
    except UnavailableError as error:
        return [f"the index of the search: {error}"]
    return []


async def _bytes(stored: Stored, files_url: str) -> list[str]:
    """I6: every record has its bytes, and as many as it says."""
    blobs = open_blobs(files_url)
    return [
        f"I6 {row['file_id']} has not the bytes of its record"
        for row in stored.rows["files"]
        if await blobs.size(original_key(row["file_id"])) != row["size_bytes"]
    ]


async def _as_read(person: Person, stored: Stored) -> list[str]:
    """The API shows a user all that is stored of theirs, and nothing else."""
    wrong: list[str] = []
    shown: dict[int, Row] = {}
    threads = await _pages(person, f"/threads/{person.user_id}", "threads")
    theirs = {t["thread_id"] for t in stored.threads.values() if t["user_id"] == person.user_id}
    if {thread["thread_id"] for thread in threads} != theirs or len(threads) != len(theirs):
        wrong.append(f"I7 the threads of {person.user_id} are not those that are stored")
    for thread in threads:
        path = f"/threads/{person.user_id}/{thread['thread_id']}"
        messages = await _pages(person, path, "messages", branch="all")
        shown |= {message["message_id"]: message for message in messages}
    for message_id, row in stored.messages.items():
        if users_in(row["content"]) - {row["user_id"]}:
            wrong.append(f"I7 message {message_id} has another user's words")
        if row["user_id"] != person.user_id:
            continue
        message = shown.pop(message_id, None)
        if message is None or any(
            message[name] != row[name] for name in ("role", "content", "status", "parent_id")
        ):
            wrong.append(f"I1 the API shows message {message_id} otherwise than it is stored")
    return wrong + [f"I7 message {message_id} is nobody's" for message_id in shown]


async def _pages(person: Person, path: str, what: str, **params: str) -> list[Row]:
    rows: list[Row] = []
    cursor: str | None = None
    while True:
        asked_for = params | {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        response: httpx2.Response = await person.read(path, params=asked_for)
        assert response.status_code == 200, response.text
        page = response.json()
        rows += page[what]
        if (cursor := page["next_cursor"]) is None:
            return rows
