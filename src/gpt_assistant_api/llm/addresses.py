"""Whose model server stands at an address."""

from urllib.parse import urlsplit

OPENAI_BASE_URL = "https://api.openai.com/v1"


def is_openai(base_url: str) -> bool:
    """Tell whether the address is OpenAI's own, which knows fields that others may refuse."""
    try:
        host = urlsplit(base_url.strip()).hostname or ""
    except ValueError:
        return False
    return host == "api.openai.com" or host.endswith(".api.openai.com")
