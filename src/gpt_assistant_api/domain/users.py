"""Users and who may act for them."""

from dataclasses import dataclass
from typing import Literal

from gpt_assistant_api.domain.errors import ForbiddenError, InvalidError
from gpt_assistant_api.domain.text import checked_text, has_control_characters, invalid_field

MAX_USER_ID_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever this request speaks for.

    A `key` (and anybody in open mode) may act for any user, a `user` for `user_id` alone.
    `credential_id` tells actors apart for limits and logs: a key's id or the user's.
    """

    kind: Literal["key", "user", "open"]
    credential_id: str
    user_id: str | None = None

    @property
    def key_id(self) -> str | None:
        """The id of the key that speaks, or None."""
        return self.credential_id if self.kind == "key" else None

    def may_act_for(self, user_id: str | None) -> bool:
        """Tell whether this actor may touch what belongs to `user_id` (None: to nobody yet)."""
        return self.kind != "user" or self.user_id == user_id

    def act_for(self, user_id: str | None) -> str:
        """Return the user this request is for.

        A user token may leave the user out. Raises InvalidError when nobody is named or the id is
        malformed, ForbiddenError when the token is another user's.
        """
        if user_id is None:
            if self.user_id is None:
                raise InvalidError(
                    "user_id is required.",
                    code="user_required",
                    errors=[{"field": "user_id", "message": "is required"}],
                )
            return self.user_id
        if not self.may_act_for(user_id):
            raise ForbiddenError("This token is not for that user.", code="user_forbidden")
        return checked_user_id(user_id)


def checked_user_id(value: str, *, field: str = "user_id") -> str:
    """Return a well-formed user id or raise InvalidError.

    1..255 characters without control characters, slashes or outer white space: a user id is one
    segment of a path, and no two are the same there.
    """
    if not value:
        raise invalid_field(field, "is empty")
    checked_text(value, field=field, limit=MAX_USER_ID_CHARACTERS)
    if has_control_characters(value) or "/" in value or "\\" in value:
        raise invalid_field(field, "has a control character or a slash")
    if "\ufffd" in value:  # what bytes become that are no text: others become the same
        raise invalid_field(field, "is not UTF-8, or has the character U+FFFD")
    if value != value.strip() or value in {".", ".."}:
        raise invalid_field(field, "has white space around it, or is only dots")
    return value
