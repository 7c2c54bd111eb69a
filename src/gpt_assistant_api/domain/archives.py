"""Names inside a ZIP: no two alike, also on systems that fold case."""

import unicodedata


class UniqueNames:
    """Gives each member of one archive a name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, name: str) -> str:
        """Return `name`, or `name (2)` and so on where it is taken; the ending stays."""
        stem, dot, ending = name.rpartition(".")
        candidate, number = name, 1
        while (folded := unicodedata.normalize("NFC", candidate).casefold()) in self._taken:
            number += 1
            candidate = f"{stem} ({number}){dot}{ending}" if dot else f"{name} ({number})"
        self._taken.add(folded)
        return candidate
