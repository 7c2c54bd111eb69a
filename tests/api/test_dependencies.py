"""What a route is handed must not cost more than what it does."""

import inspect
from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from gpt_assistant_api.api.rest import asks, docs, files, messages, operations, pages, runs, threads
from gpt_assistant_api.api.rest import users as users_routes


def _plain(dependant: Dependant) -> Iterator[str]:
    for dependency in dependant.dependencies:
        if not inspect.iscoroutinefunction(dependency.call):
            yield str(dependency.call)
        yield from _plain(dependency)


def test_nothing_that_a_route_is_handed_takes_a_thread() -> None:
    modules = (asks, docs, files, messages, operations, pages, runs, threads, users_routes)
    routes = [route for module in modules for route in module.routes.routes]
    assert [route for route in routes if isinstance(route, APIRoute)]
    plain = [
        line for route in routes if isinstance(route, APIRoute) for line in _plain(route.dependant)
    ]
    assert plain == []
