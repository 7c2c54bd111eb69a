"""A crowd of users that talks to the program until it is told that it is enough."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from tests.api.credentials import AUDIENCE, ISSUER, SECRET, make_token
from tests.model_server import ModelServerSimulation

from promises.ledger import Ledger
from promises.load import Person
from promises.service import Service

_DAY_SECONDS = 86_400


def settings_for(upstream: ModelServerSimulation) -> dict[str, str]:
    """Return the settings of a program that these users can talk to."""
    return {
        "OPENAI_BASE_URL": upstream.url, "MODEL": "sim", "JWT_SECRET": SECRET,
        "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE, "LINK_SECRET": "0f9a4c7be2d81536" * 4,
    }  # fmt: skip


def token_of(user_id: str) -> str:
    """Return a token of a user that lasts for a day."""
    return make_token(user_id, exp=int(time.time()) + _DAY_SECONDS)


class Crowd:
    """The users, what they know, and where the program is."""

    def __init__(self, service: Service, chance: random.Random, count: int) -> None:
        self.ledger = Ledger()
        self.service = service
        self.people = [Person(self.ledger, service, chance, token_of) for _ in range(count)]
        self._enough = asyncio.Event()
        self._talks = [asyncio.ensure_future(self._talk(person)) for person in self.people]

    async def _talk(self, person: Person) -> None:
        while not self._enough.is_set():
            await person.act()

    async def finish(self) -> None:
        """Let everybody come to the end of what they are doing."""
        self._enough.set()
        await asyncio.gather(*self._talks)

    def leave(self) -> None:
        """Go at once."""
        for talk in self._talks:
            talk.cancel()


@asynccontextmanager
async def talking(
    urls: Sequence[str], chance: random.Random, count: int
) -> AsyncGenerator[Crowd, None]:
    """Have so many users talk while the block lasts."""
    service = Service(urls, chance)
    crowd = Crowd(service, chance, count)
    try:
        yield crowd
    finally:
        crowd.leave()
        await service.close()
