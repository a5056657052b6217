"""Films by what people call them: their path, their name, or their name without its suffix."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from rayograph.pack.decode import SUFFIXES


class Naming:
    """The films below a folder, found by any of their names."""

    def __init__(self, films: Iterable[str]) -> None:
        self._paths = set(films)
        self._names: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for film in sorted(self._paths):
            path = PurePosixPath(film)
            self._names.setdefault(path.name, []).append(film)
            if path.suffix.lower() in SUFFIXES:
                self._stems.setdefault(path.stem, []).append(film)

    def find(self, text: str) -> list[str]:
        """The films that a text may mean: of that path, else of that name, with a suffix or not."""
        text = text.strip().replace("\\", "/")
        if text in self._paths:
            return [text]
        name = text.rpartition("/")[2]
        return self._names.get(name) or self._stems.get(name, [])
