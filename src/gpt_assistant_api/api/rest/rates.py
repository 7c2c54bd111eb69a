"""Requests a minute: each is counted, and its answer says what is left.

By the header fields of draft-ietf-httpapi-ratelimit-headers, whose names for the two limits are
"user" and "key". No field, no limit: or nothing that could count at this moment.
"""

from typing import Final

from fastapi import Request

from gpt_assistant_api.domain.errors import RateLimitedError
from gpt_assistant_api.domain.users import Actor
from gpt_assistant_api.limits import Quota, Standing
from gpt_assistant_api.runtime import Runtime

HEADERS: Final = {
    "RateLimit-Policy": {
        "description": "The limits on requests, by user and by key: how many (`q`) in how many "
        "seconds (`w`).",
        "schema": {"type": "string", "examples": ['"user";q=60;w=60, "key";q=6000;w=60']},
    },
    "RateLimit": {
        "description": "What is left of each (`r`), and after how many seconds there is more "
        "(`t`).",
        "schema": {"type": "string", "examples": ['"user";r=59;t=60, "key";r=5800;t=42']},
    },
}


async def count_request(request: Request, actor: Actor) -> None:
    """Count a request for whoever speaks, and for the user in its path.

    Raises RateLimitedError. The user comes first: what the user's limit refuses then costs the key,
    which others share, nothing.
    """
    user_id = actor.user_id or request.path_params.get("user_id")
    if user_id is not None:
        await _count(request, "user", user_id)
    if actor.key_id is not None:
        await _count(request, "key", actor.key_id)


async def count_user(request: Request, actor: Actor, user_id: str | None) -> None:
    """Count a key's request for the user as well who stands in the body and not in the path."""
    if actor.key_id is not None and user_id is not None:
        await _count(request, "user", user_id)


async def _count(request: Request, quota: Quota, name: str) -> None:
    runtime: Runtime = request.app.state.runtime
    standing = await runtime.limiter.hit(quota, name)
    if standing is None:
        return
    _tell(request, standing)
    if standing.exceeded:
        raise RateLimitedError(
            f"At most {standing.limit} requests a minute are accepted of a {quota}.",
            code="rate_limited",
            retry_after_seconds=standing.reset_seconds,
        )


def _tell(request: Request, standing: Standing) -> None:
    headers: dict[str, str] = request.state.headers
    for name, item in (
        ("RateLimit-Policy", f'"{standing.quota}";q={standing.limit};w=60'),
        ("RateLimit", f'"{standing.quota}";r={standing.remaining};t={standing.reset_seconds}'),
    ):
        headers[name] = f"{headers[name]}, {item}" if name in headers else item
