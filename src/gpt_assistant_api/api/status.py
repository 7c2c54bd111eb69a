"""The one table from the kind of a refusal to an HTTP status."""

from gpt_assistant_api.domain import errors

_STATUS: dict[type[errors.Refusal], int] = {
    errors.MalformedError: 400,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.TooLargeError: 413,
    errors.UnsupportedMediaError: 415,
    errors.InvalidError: 422,
    errors.RateLimitedError: 429,
    errors.ModelError: 502,
    errors.ContextTooLongError: 502,
    errors.ModelRateLimitedError: 503,
    errors.UnavailableError: 503,
    errors.ModelTimeoutError: 504,
}

_ENDINGS: dict[errors.ErrorCode, int] = {
    "files_unavailable": 503,
    "model_rate_limited": 503,
    "model_timeout": 504,
    "internal_error": 500,
}


def status_of(refusal: errors.Refusal) -> int:
    """Return the status that stands for this kind of refusal."""
    return next(_STATUS[kind] for kind in type(refusal).__mro__ if kind in _STATUS)


def status_of_ending(code: errors.ErrorCode) -> int:
    """Return the status for a caller who waited for a run that failed with this code."""
    return _ENDINGS.get(code, 502)
