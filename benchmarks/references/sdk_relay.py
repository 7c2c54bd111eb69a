"""R2: FastAPI and the official SDK, as tutorials have it. Nothing is stored."""

import os
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

from benchmarks.model_server import MODEL

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ["MODEL_URL"], api_key="none")


class Ask(BaseModel):
    """A question."""

    user_id: str
    prompt: str
    stream: bool = False


@app.post("/ask", response_model=None)
async def ask(body: Ask) -> StreamingResponse | dict[str, Any]:
    """Have a question answered."""
    if body.stream:
        return StreamingResponse(_frames(body.prompt), media_type="text/event-stream")
    completion = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": body.prompt}]
    )
    return {"answer": completion.choices[0].message.content}


async def _frames(prompt: str) -> AsyncIterator[bytes]:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield b"data: %b\n\n" % orjson.dumps({"text": text})
    yield b"data: [DONE]\n\n"
