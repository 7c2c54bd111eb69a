"""How the program logs: events with fields, as text for people or JSON for machines.

Never the text of a message, a key or a file. Records of libraries go the same way.
"""

import logging
import sys
from typing import Literal

import structlog


def configure_logging(level: str, format_: Literal["text", "json"]) -> None:
    """Send everything that is logged to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=_rendering(format_)
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.error").propagate = True


def _rendering(format_: Literal["text", "json"]) -> list[structlog.typing.Processor]:
    last: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if format_ == "json":
        return [*last, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # The default one shows the values of variables: messages and keys.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [*last, console]
