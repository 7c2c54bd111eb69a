"""The opened parts, in one place, for the faces."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpt_assistant_api import db
from gpt_assistant_api.blobs import Blobs
from gpt_assistant_api.domain.asks import RunLimits
from gpt_assistant_api.domain.streams import OpenStreams
from gpt_assistant_api.engine import Engine
from gpt_assistant_api.limits import Limiter
from gpt_assistant_api.telemetry import Telemetry

if TYPE_CHECKING:
    from gpt_assistant_api.tokens import TokenVerifier


@dataclass(frozen=True, slots=True)
class Links:
    """How links to files are signed, and for how long they open."""

    secret: bytes
    lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a face needs to serve: opened parts and values, no settings.

    `open_mode`: neither keys nor tokens are configured, whoever reaches the server may do anything.
    """

    database: db.Database
    blobs: Blobs
    engine: Engine
    limiter: Limiter
    streams: OpenStreams
    tokens: "TokenVerifier | None"
    links: Links
    run_limits: RunLimits
    max_body_bytes: int
    default_image_prompt: str
    model_api: str
    open_mode: bool
    telemetry: Telemetry
