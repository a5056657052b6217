"""What travels between the benchmark and the processes that it starts."""

import json
from dataclasses import asdict, dataclass
from typing import Any

BATCH = 64  # films a rank and step


@dataclass(frozen=True)
class Format:
    """One way the same films are stored; `films` of them are for training."""

    name: str
    size: int
    codec: str  # raw or jpeg
    quality: int
    films: int

    @property
    def key(self) -> str:
        """The folder of this corpus, in the store and on the disk."""
        return f"{self.name}-{self.films}"


@dataclass(frozen=True)
class Job:
    """One measurement of one reader by one process.

    `cores` is what one process may use by itself; `world` counts processes. `start` is the step
    that a resumed epoch starts from. `seconds` ends a slow reader early. `whole` hashes each film
    with xxh3, which costs time, instead of taking its signature. `warm` (prefix and folder) is a
    small corpus, read before anything is measured: clients and late imports are then there.
    """

    reader: str
    format: Format
    store: str  # s3:// prefix of the corpus
    folder: str  # ImageFolder's, on the disk
    scratch: str  # empty; the ranks of one measurement share it
    rank: int = 0
    world: int = 1
    cores: int = 1
    start: int = 0
    batches: int | None = None
    seconds: float = 6.0
    whole: bool = False
    warm: tuple[str, str] | None = None

    def dumps(self) -> str:
        """As one JSON line."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "Job":
        """From that line."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "format": Format(**fields["format"])})


@dataclass(frozen=True)
class Measured:
    """What one process saw. Times are of `time.monotonic`, the same clock in every process.

    Films and CPU seconds count from the moment on that the dataset is opened: whatever is read
    ahead of the first batch is paid for. What a constructor costs is in the first batch's time
    alone, since an epoch of a real dataset is so much longer.
    """

    films: int
    asked: float  # to open the dataset
    opened: float
    first: float  # the first batch was there
    ended: float
    cpu_s: float
    peak_mb: float  # resident memory, with that of the processes below it
    signatures: str  # hexadecimal, of every film in turn


@dataclass(frozen=True)
class Result:
    """One measurement of one reader: its processes together."""

    films_s: float
    cpu_ms: float  # a film
    first_s: float
    peak_mb: float  # of the largest process, over one that has only imported torch
    seconds: float  # from asking to the end
    fetched_mb: float = 0.0  # through the proxy, where there was one; with what was read ahead
    notes: tuple[str, ...] = ()  # films missed or repeated, a proxy that was busy
