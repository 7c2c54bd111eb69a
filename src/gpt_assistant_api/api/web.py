"""What a face shows in a browser, as values: the face that serves HTTP gives it an address."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page with its headers and the files that it loads, by their names under `/assets/`."""

    html: bytes
    headers: Mapping[str, str]
    assets: Mapping[str, bytes]
