"""Links to files that open without a header, for as long as they last."""

from dataclasses import dataclass
from time import time

from gpt_assistant_api.domain import links
from gpt_assistant_api.runtime import Links


@dataclass(frozen=True, slots=True)
class FileLinks:
    """Makes signed links; those to one file stay the same for a while, so that browsers cache."""

    signing: Links

    def url(self, file_id: str, *, size: int | None = None) -> str:
        """Return the path and query that open a file, or a thumbnail of it."""
        expires = links.expiry(int(time()), self.signing.lifetime_seconds)
        signature = links.sign(self.signing.secret, file_id, size, expires)
        sized = "" if size is None else f"size={size}&"
        return f"/get-file/{file_id}?{sized}expires={expires}&signature={signature}"
