"""What a route is handed must not cost more than what it does."""

from fastapi.routing import APIRoute

from gpt_assistant_api.api import rest
from gpt_assistant_api.api.chat import chat_page


def test_nothing_that_a_route_is_handed_is_looked_up_by_the_framework() -> None:
    app = rest.create_app(telemetry={}, home=chat_page())
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(routes) > 20
    assert [route.path for route in routes if route.dependant.dependencies] == []
