"""Every refusal the software can give, as kinds that know no HTTP.

`api/status.py` turns a kind into a status. The message is for people and may change; the code is
for programs and does not. `docs/errors.md` lists every code.
"""

from typing import Any, Literal

ErrorCode = Literal[
    "body_malformed",
    "body_too_large",
    "content_filter",
    "context_too_long",
    "credentials_invalid",
    "credentials_missing",
    "database_unavailable",
    "file_corrupt",
    "file_not_found",
    "file_unsupported",
    "files_unavailable",
    "head_too_large",
    "host_refused",
    "idempotency_key_reused",
    "internal_error",
    "invalid_cursor",
    "invalid_request",
    "key_not_found",
    "link_invalid",
    "media_type_unsupported",
    "message_not_answerable",
    "message_not_found",
    "method_not_allowed",
    "model_empty_answer",
    "model_error",
    "model_rate_limited",
    "model_refusal",
    "model_timeout",
    "origin_refused",
    "output_limit",
    "path_not_found",
    "range_not_satisfiable",
    "rate_limited",
    "request_malformed",
    "request_too_slow",
    "run_ended",
    "run_not_found",
    "runs_unavailable",
    "storage_exceeded",
    "thread_busy",
    "thread_not_found",
    "token_keys_unavailable",
    "too_many_runs",
    "too_many_streams",
    "too_many_tokens",
    "user_forbidden",
    "user_not_found",
    "user_required",
]


class Refusal(Exception):
    """Something the caller asked for that is not done, and why.

    `details` are further members of the answer, such as the id of the run that is in the way.
    """

    def __init__(self, message: str, *, code: ErrorCode, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code: ErrorCode = code
        self.details = details


class InvalidError(Refusal):
    """The request is understood and cannot be right; `errors` in the details name the fields."""


class MalformedError(Refusal):
    """The request cannot be read at all."""


class UnauthenticatedError(Refusal):
    """Nobody known is speaking."""


class ForbiddenError(Refusal):
    """The caller is known and may not do this."""


class NotFoundError(Refusal):
    """The thing does not exist, or is somebody else's: from outside, the same."""


class ConflictError(Refusal):
    """The state of the thing does not allow it now."""


class TooLargeError(Refusal):
    """More bytes than the configured limit."""


class UnsupportedMediaError(Refusal):
    """The bytes are of a kind that is not accepted."""


class RateLimitedError(Refusal):
    """Too much in too short a time; `retry_after_seconds` says when to come back."""

    def __init__(self, message: str, *, code: ErrorCode, retry_after_seconds: int) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(Refusal):
    """A part behind the server does not answer now; trying again later makes sense."""

    def __init__(
        self, message: str, *, code: ErrorCode, retry_after_seconds: int = 5, **details: Any
    ) -> None:
        super().__init__(message, code=code, **details)
        self.retry_after_seconds = retry_after_seconds


class ModelError(Refusal):
    """The model server failed. The message never repeats what it sent."""

    def __init__(self, message: str, *, code: ErrorCode = "model_error", **details: Any) -> None:
        super().__init__(message, code=code, **details)


class ContextTooLongError(ModelError):
    """The history does not fit the model; a shorter one may."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="context_too_long")


class ModelRateLimitedError(ModelError):
    """The model server asks for fewer requests; it does not always say for how long."""

    def __init__(self, message: str, *, retry_after_seconds: int = 20) -> None:
        super().__init__(message, code="model_rate_limited")
        self.retry_after_seconds = retry_after_seconds


class ModelTimeoutError(ModelError):
    """The model server took longer than the configured time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="model_timeout")


class ConfigurationError(Exception):
    """A setting is wrong; the message names the setting, never its value, and says what to do."""
