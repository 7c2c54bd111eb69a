"""The API keeps to its description on either database, whatever is sent."""

import random
from pathlib import Path

import pytest
from tests.api.credentials import guarded
from tests.api.test_contract import broken_by


# An example of many kilobytes is what is wanted here.
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
# The server, a thread of this process, may draw a random number while an example is made.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
def test_no_request_of_any_kind_breaks_the_contract(
    tmp_path: Path, database_url: str, chance: random.Random, full: bool
) -> None:
    broken: list[str] = []
    sent = 0
    with guarded(tmp_path, database_url=database_url) as service:
        # Those that do not depend on chance are a thousand; of the others many are alike.
        while sent < (50_000 if full else 1_000) and not broken:
            cases, seed = 1_000 if full else 5, chance.getrandbits(32)
            broken, count = broken_by(service, cases=cases, seed=seed)
            sent += count
    print({"requests": sent})  # noqa: T201
    assert not broken, "\n\n".join(broken[:20])
