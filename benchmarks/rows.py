"""The questions that the benchmark asks, and how much is read to answer them."""

from dataclasses import dataclass

from benchmarks.readers import READERS

EVERYONE = tuple(READERS)
FAR = ("ours", "litdata", "mosaicml", "webdataset")
RESUMED = ("ours", "litdata", "mosaicml")  # those that have a resume
LATENCY_S, LINE_BYTES_S = 0.025, 80e6


@dataclass(frozen=True)
class Row:
    """One question; every reader in `readers` answers it in every round."""

    name: str
    format: str
    readers: tuple[str, ...]
    both: bool = False
    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    middle: bool = False  # start in the middle of the epoch, and stop after the first batch
    cold: bool = False  # stop after the first batch


ROWS = (
    Row("raw 256², one process", "raw256", EVERYONE),
    Row("raw 256², both cores", "raw256", EVERYONE, both=True),
    Row("JPEG 256²", "jpeg256", EVERYONE),
    Row("JPEG 1024²", "jpeg1024", EVERYONE),
    Row("raw 256², 25 ms a request", "raw256", FAR, latency_s=LATENCY_S),
    Row(
        "raw 256², 25 ms, 80 MB/s a connection", "raw256", FAR,
        latency_s=LATENCY_S, bytes_per_s=LINE_BYTES_S,
    ),
    Row("raw 256², first batch of an epoch", "raw256", EVERYONE, cold=True),
    Row("raw 256², first batch in its middle", "raw256", RESUMED, middle=True),
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much is read; `quick` only shows that everything works."""

    small: int  # films at 256²
    large: int  # films at 1024²
    rounds: int
    seconds: float  # after which a slow reader is ended; what it had read ahead is then lost to it


FULL, QUICK = Sizes(16384, 1024, 3, 20.0), Sizes(1024, 128, 1, 10.0)
