"""Shapes as JSON, past the framework, which takes longer to write them."""

import orjson
from fastapi import Response

from gpt_assistant_api.api.rest.schemas import Shape


def encode(shapes: Shape | dict[str, Shape | str]) -> bytes:
    """Return the JSON of a shape, or of several by their names."""
    return orjson.dumps(shapes, option=orjson.OPT_UTC_Z)


def respond(shape: Shape, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the response with a shape."""
    return Response(encode(shape), status, headers, "application/json")
