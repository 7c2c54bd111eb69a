"""Signed links to files, so that `<img src>` works without a header.

A link opens one file in one size until one moment. Nothing is stored: the signature says it all.
"""

import base64
import hashlib
import hmac
import json

_STEPS_PER_LIFETIME = 4


def sign(secret: bytes, file_id: str, size: int | None, expires: int) -> str:
    """Return the url-safe signature of a link; `size` is a thumbnail's, None the file itself."""
    # JSON keeps the parts apart whatever they hold; the first one keeps other uses of the secret
    # away from links.
    text = json.dumps(["file link", file_id, size, expires])
    digest = hmac.digest(secret, text.encode("ascii"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def check(
    secret: bytes, file_id: str, size: int | None, expires: int, signature: str, now: float
) -> bool:
    """Tell whether a link is ours, unchanged and current; at `expires` it no longer is."""
    # The spelling is compared, not the bytes it stands for: base64 has several for the same bytes.
    ours = sign(secret, file_id, size, expires).encode("ascii")
    genuine = hmac.compare_digest(ours, signature.encode("utf-8", "replace"))
    return genuine and now < expires


def expiry(now: float, lifetime_seconds: int) -> int:
    """Return when a link made now expires: after its lifetime, at most a quarter later.

    Rounded up, so that a file keeps the same link for a while and a browser its cached copy.
    """
    step = max(1, lifetime_seconds // _STEPS_PER_LIFETIME)
    return int(-(-(now + lifetime_seconds) // step)) * step
