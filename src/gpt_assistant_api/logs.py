"""How the program logs: events with fields, as text for people or JSON for machines.

Never the text of a message, a key or a file. Records of libraries go the same way.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import TextIOWrapper
from traceback import format_tb
from typing import Any, Literal, TextIO

import orjson
import structlog
from opentelemetry import trace

_MAX_ERROR_CHARACTERS = 200

Format = Literal["text", "json"]


def configure_logging(level: str, format_: Format | None = None) -> None:
    """Send everything that is logged to standard error, as text for a terminal and JSON for others.

    `format_` is the one form whoever reads it.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    format_ = format_ or ("text" if sys.stderr.isatty() else "json")
    if format_ == "json" and isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8")  # as JSON is, whatever the system's is
    rendering = _rendering(format_)
    # Past the standard library, which would take as long again as all that is done here.
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=lambda *_: _StandardError(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.error").propagate = True
    # Its lines hold whole addresses: the ids of users, and signatures that open files.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


def _name_trace(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
    return event


def _rendering(format_: Format) -> list[structlog.typing.Processor]:
    if format_ == "json":
        traced = structlog.processors.ExceptionRenderer(lambda info: trace_of(info[1]))
        return [traced, structlog.processors.JSONRenderer(serializer=_json)]
    return [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_trace)
    ]


def _json(event: dict[str, Any], default: Callable[[Any], Any]) -> str:
    try:
        # As everything else that is not JSON's, a dataclass shows what it wants to.
        return orjson.dumps(event, default, orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    except TypeError:  # half a character, a number of over 64 bits, a key that is no text
        return json.dumps(event, default=default)


class _StandardError:
    """Where lines end. One that cannot be written is lost, and never the work that it tells of."""

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):  # the reader is gone, the stream is closed
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = msg  # by now it is a line, whatever its level


def trace_of(error: BaseException) -> str:
    """Return where an error comes from, without what it may quote of a message or a row.

    Of its text the first line alone: validators and databases put the values that they refuse into
    those that follow. Values of variables, which prettier tracebacks show, are not looked at.
    """
    return "\n".join(_lines_of(error, set()))


def _lines_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines_of(before, seen)
        yield "which led to:"
    yield "Traceback (most recent call last):"
    yield "".join(format_tb(error.__traceback__)).rstrip("\n")
    text = str(error).partition("\n")[0][:_MAX_ERROR_CHARACTERS]
    yield f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield "in the group:"
            yield from _lines_of(inner, seen)


def _write_trace(out: TextIO, info: structlog.typing.ExcInfo) -> None:
    out.write("\n" + trace_of(info[1]))
