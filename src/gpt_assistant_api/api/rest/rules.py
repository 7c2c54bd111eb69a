"""Who may call what: the rule of every operation of the conversation API, in one place.

That a user token reaches its own user's things alone is the services' business; here stands what is
needed to be heard at all. An operation without a rule cannot be added: its route refuses to exist.
"""

from collections.abc import Callable, Coroutine
from enum import Enum
from inspect import get_annotations
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gpt_assistant_api.api.access import OPEN, Access
from gpt_assistant_api.api.rest.call import Call
from gpt_assistant_api.api.rest.rates import count_request
from gpt_assistant_api.domain.errors import ForbiddenError
from gpt_assistant_api.domain.users import Actor


class Rule(Enum):
    """What a caller must show."""

    PUBLIC = "nothing"
    CALLER = "a key, or the token of the user whose things they are"
    LINK = "a signed link, or what a caller shows"
    OPERATOR = "a key"


RULES: Final[dict[str, Rule]] = {
    "ask": Rule.CALLER,
    "regenerate": Rule.CALLER,
    "list_threads": Rule.CALLER,
    "get_thread": Rule.CALLER,
    "update_thread": Rule.CALLER,
    "delete_thread": Rule.CALLER,
    "list_messages_with_files": Rule.CALLER,
    "download_files": Rule.CALLER,
    "search_messages": Rule.CALLER,
    "upload_file": Rule.CALLER,
    "get_file": Rule.LINK,
    "get_run": Rule.CALLER,
    "watch_run": Rule.CALLER,
    "cancel_run": Rule.CALLER,
    "get_usage": Rule.CALLER,
    "export_user": Rule.CALLER,
    "delete_user": Rule.CALLER,
    "get_health": Rule.PUBLIC,
    "get_readiness": Rule.PUBLIC,
    "get_metrics": Rule.OPERATOR,
    "get_openapi": Rule.PUBLIC,
    "get_docs": Rule.PUBLIC,
    "get_asset": Rule.PUBLIC,
    "get_home": Rule.PUBLIC,
}


class GuardedRoute(APIRoute):
    """A route that applies its rule before anything of the body is read.

    What takes nothing but its call, and answers with a response, is called as it is: there is
    nothing for the framework to look for.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind its rule."""
        wanted = get_annotations(self.endpoint)
        is_plain = wanted == {"call": Call, "return": Response}
        handler = self.endpoint if is_plain else super().get_route_handler()
        rule = RULES[self.operation_id or ""]

        async def guarded(request: Request) -> Response:
            return await handler(Call(request, await _admit(request, rule)))

        return guarded


async def _admit(request: Request, rule: Rule) -> Actor | None:
    if rule is Rule.PUBLIC:
        return None
    if rule is Rule.LINK and "signature" in request.query_params:
        return None
    access: Access = request.app.state.access
    actor = await access.actor_of(request.headers)
    if rule is Rule.OPERATOR and actor.kind == "user":
        raise ForbiddenError("A key is needed for this.", code="user_forbidden")
    if actor is not OPEN:
        await count_request(request, actor)
    return actor
