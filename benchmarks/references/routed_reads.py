"""R5: the reads of R4 behind a FastAPI route with a response model."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.references.bare_reads import thread_page, threads_page

app = FastAPI()


class Thread(BaseModel):
    """A thread."""

    thread_id: str
    user_id: str
    title: str
    head_id: int | None
    active_run_id: str | None
    created_at: datetime
    updated_at: datetime


class Versions(BaseModel):
    """Which version a message is."""

    index: int
    count: int
    ids: list[int]


class Message(BaseModel):
    """A message."""

    message_id: int
    thread_id: str
    role: str
    status: str
    content: str
    content_html: str | None
    files: list[str]
    image_id: str | None
    reply_to: int | None
    parent_id: int | None
    versions: Versions
    run_id: str | None
    message_time: datetime


class MessagePage(BaseModel):
    """A thread with its newest messages."""

    thread: Thread
    messages: list[Message]


class ThreadPage(BaseModel):
    """A user's newest threads."""

    threads: list[Thread]


@app.get("/threads/{user_id}/{thread_id}", response_model=MessagePage)
async def get_thread(user_id: str, thread_id: str) -> dict[str, Any]:
    """Return a thread and its newest messages."""
    return thread_page(user_id, thread_id)


@app.get("/threads/{user_id}", response_model=ThreadPage)
async def list_threads(user_id: str) -> dict[str, Any]:
    """Return a user's newest threads."""
    return threads_page(user_id)
