"""What clients sent and what they were told: all that an audit holds the program to."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.api.helpers import Event

from promises.markers import users_in

ENDS = {"run.completed", "run.failed", "run.cancelled"}


@dataclass(eq=False)
class Sighting:
    """The events of a run as one client saw them, from the first on and through every cut."""

    events: list[Event] = field(default_factory=list)

    @property
    def end(self) -> Event | None:
        """The event that ended the run, once it was seen."""
        last = self.events[-1] if self.events else None
        return last if last and last.name in ENDS else None


@dataclass(eq=False)
class Asked:
    """A request for an answer. Its moments are positions in the ledger's order of things.

    `adds` says that it brings a message of the user's; `prompt` is what is to be answered.
    `acknowledged_at` is when the client was told the run; `run` is what it was told last of it.
    """

    user_id: str
    prompt: str
    adds: bool
    thread_id: str | None
    sent_at: int
    acknowledged_at: int | None = None
    run: dict[str, Any] | None = None
    refused: str | None = None
    cancel_sent: bool = False
    cancelled: bool = False
    sightings: list[Sighting] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """The run, once it was told."""
        assert self.run is not None
        run_id: str = self.run["run_id"]
        return run_id


@dataclass(frozen=True)
class Requested:
    """One request of the log. `status` is None where no answer came."""

    at: int
    user_id: str
    method: str
    path: str
    key: str | None
    status: int | None


class Ledger:
    """Everything that was sent and told, in order, and what was wrong as soon as it was seen."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.requests: list[Requested] = []
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self.interrupted: set[str] = set()
        self.trouble: set[str] = set()
        """The codes of passing trouble that a check makes: what they refuse is asked again."""
        self.refusals: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._now = 0

    def now(self) -> int:
        """Return the next moment."""
        self._now += 1
        return self._now

    @property
    def acknowledged(self) -> list[Asked]:
        """What the program has said that it has."""
        return [asked for asked in self.asked if asked.acknowledged_at is not None]

    @property
    def users(self) -> set[str]:
        """Everybody who has asked anything."""
        return {asked.user_id for asked in self.asked}

    def check_reader(self, user_id: str, text: str, where: str) -> None:
        """Note it when a user is shown another user's words."""
        if others := users_in(text) - {user_id}:
            self.wrong.append(f"I7 {user_id} was shown words of {sorted(others)} by {where}")

    def figures(self) -> dict[str, int]:
        """Count what happened."""
        sightings = [sighting for asked in self.asked for sighting in asked.sightings]
        names = Counter(event.name for sighting in sightings for event in sighting.events)
        return {
            "requests": len(self.requests),
            "without an answer": sum(request.status is None for request in self.requests),
            "asked": len(self.asked),
            "acknowledged": len(self.acknowledged),
            "cancelled": sum(asked.cancelled for asked in self.asked),
            "threads deleted": len(self.deleted),
            "events": names.total(),
            "restarts seen": names["run.restarted"],
        }
