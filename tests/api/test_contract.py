"""The API keeps to its description, whatever is sent: cases made from the OpenAPI document.

`CONTRACT_CASES` is how many random cases each operation gets; a release deserves thousands.
"""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis.errors import Flaky
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema

from tests.api.credentials import Service, guarded

CASES = int(os.environ.get("CONTRACT_CASES", "15"))
SEED = int(os.environ.get("CONTRACT_SEED", "20261124"))

# Requests that fit the description and still cannot be served, for what no schema can say: a cursor
# or a position must be one that was given, a body must name a user, bytes must be an image, days
# have an order.
ALSO_REFUSED = {
    "ask": [404, 409, 415, 422],
    "regenerate": [404, 409, 415, 422],
    "upload_file": [415, 422],
    "list_threads": [422],
    "get_thread": [404, 422],
    "list_messages_with_files": [404, 422],
    "search_messages": [422],
    "watch_run": [404, 422],
    "get_usage": [422],
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with guarded(tmp_path_factory.mktemp("contract")) as service:
        yield service


# An example of many kilobytes is what is wanted here.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
# The server, a thread of this process, may draw a random number while an example is made.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
def test_no_request_breaks_the_contract(service: Service) -> None:
    broken, cases = broken_by(service, cases=CASES, seed=SEED)
    assert not broken, "\n\n".join(broken[:20])
    assert cases > 19 * CASES


def broken_by(service: Service, *, cases: int, seed: int) -> tuple[list[str], int]:
    """Return what breaks the contract, and how many requests were sent."""
    statuses = ["2xx", "3xx", 401, 403]
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "cache": {"enabled": False},
            "continue-on-failure": True,
            "headers": {"Authorization": f"Bearer {service.key}"},
            "generation": {"max-examples": cases, "database": "none"},
            "operations": [
                {
                    "include-operation-id": operation_id,
                    "checks": {
                        "positive_data_acceptance": {"expected-statuses": [*statuses, *also]}
                    },
                }
                for operation_id, also in ALSO_REFUSED.items()
            ],
        }
    )
    schema = schemathesis.openapi.from_url(f"{service.server.url}/openapi.json", config=config)
    broken: list[str] = []
    sent = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            sent += len(event.recorder.cases)
            broken += [
                f"{event.label}: {told(check.failure_info.failure)}\n"
                f"{check.failure_info.code_sample}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info is not None
            ]
        # On a busy machine the making of an example, which calls nothing of ours, may break off.
        elif isinstance(event, events.NonFatalError) and not isinstance(event.value, Flaky):
            broken.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return sorted(set(broken)), sent


def told(failure: Failure) -> str:
    return f"{failure.title}. {failure.message}"
