"""What was found, as plain tables, and each target with reached or by how much not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.job import Result
from benchmarks.limits import Limits

HEAD = (
    "",
    "films/s",
    "from – to",
    "CPU ms",
    "share",
    "first s",
    "peak MB",
    "fetched MB",
    "",
)
RAW, BOTH, JPEG, LARGE = (
    "raw 256², one process", "raw 256², both cores", "JPEG 256²", "JPEG 1024²",
)  # fmt: skip
FAR, THIN = "raw 256², 25 ms a request", "raw 256², 25 ms, 80 MB/s a connection"
COLD, MIDDLE = "raw 256², first batch of an epoch", "raw 256², first batch in its middle"
SHARED = (RAW, BOTH, JPEG, LARGE)  # rows whose readers are compared with the limits


@dataclass
class Found:
    """Every round's results by row and reader, its limits by row, and what failed."""

    results: dict[str, dict[str, list[Result]]] = field(default_factory=dict)
    limits: dict[str, list[Limits]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, row: str, reader: str, result: Result) -> None:
        """One more round."""
        self.results.setdefault(row, {}).setdefault(reader, []).append(result)

    def middle(self, row: str, reader: str, value: Callable[[Result], float]) -> float | None:
        """The median of the rounds; None where there is none."""
        rounds = self.results.get(row, {}).get(reader)
        return median(map(value, rounds)) if rounds else None

    def films_s(self, row: str, reader: str) -> float | None:
        """Median films a second."""
        return self.middle(row, reader, lambda result: result.films_s)

    def limit_ms(self, row: str) -> float | None:
        """Median CPU milliseconds a film that cannot be saved."""
        found = self.limits.get(row)
        return median(1000 * limits.film_s for limits in found) if found else None

    def share(self, row: str, reader: str) -> float | None:
        """The limit's CPU a film in parts of the reader's."""
        spent = self.middle(row, reader, lambda result: result.cpu_ms)
        least = self.limit_ms(row)
        return least / spent if spent and least else None


def text(found: Found) -> str:
    """All tables."""
    parts = [_limits(found)]
    parts += [_row(found, row) for row in found.results]
    if found.problems:
        failed = [f"  {what}: {why}" for what, why in found.problems.items()]
        parts.append("\n".join(["Not measured", *failed]))
    parts.append("\n".join(["Targets", *_aligned(targets(found))]))
    return "\n\n".join(parts)


def _limits(found: Found) -> str:
    head = ("", "receive", "gather", "decode", "films/s a core", "receiving films/s", "memcpy GB/s")
    lines: list[tuple[str, ...]] = [head]
    for row, rounds in found.limits.items():
        columns = (
            (
                1e6 * limits.receive_s,
                1e6 * limits.gather_s,
                1e6 * limits.decode_s,
                1 / limits.film_s,
                limits.receive_films_s,
                limits.memcpy_bytes_s / 1e9,
            )
            for limits in rounds
        )
        values = [median(column) for column in zip(*columns, strict=True)]
        *whole, memcpy = values
        lines.append((row, *(f"{value:,.1f}" for value in whole[:3]),
                      *(f"{value:,.0f}" for value in whole[3:]), f"{memcpy:.1f}"))  # fmt: skip
    return "\n".join(["Limits: CPU microseconds a film", *_aligned(lines)])


def _row(found: Found, row: str) -> str:
    lines = [HEAD]
    for reader, rounds in found.results[row].items():
        rates = [result.films_s for result in rounds]
        fetched = median(result.fetched_mb for result in rounds)
        share = found.share(row, reader)
        one = row in (COLD, MIDDLE)  # a batch has no rate
        lines.append((
            reader,
            "" if one else f"{median(rates):,.0f}",
            "" if one else f"{min(rates):,.0f} – {max(rates):,.0f}",
            "" if one else f"{median(result.cpu_ms for result in rounds):.3f}",
            "" if share is None else f"{share:.2f}",
            f"{median(result.first_s for result in rounds):.2f}" if one else "",
            f"{median(result.peak_mb for result in rounds):,.0f}",
            f"{fetched:,.0f}" if one and fetched else "",
            "; ".join(sorted({note for result in rounds for note in result.notes})),
        ))  # fmt: skip
    return "\n".join([row, *_aligned(lines)])


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of text: the first and the last to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    return [
        "  " + "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]  # fmt: skip


def targets(found: Found) -> list[tuple[str, ...]]:
    """Every target of the loading design: what was aimed at, what was found, whether it is met."""
    cold = found.middle(COLD, "ours", lambda result: result.first_s)
    cold_mb = found.middle(COLD, "ours", lambda result: result.fetched_mb)
    middle_mb = found.middle(MIDDLE, "ours", lambda result: result.fetched_mb)
    resumed = found.middle(MIDDLE, "ours", lambda result: result.first_s)
    peaks = [found.middle(row, "ours", lambda result: result.peak_mb) for row in found.results]
    known = [peak for peak in peaks if peak is not None]
    return [
        _least(f"{RAW}: × the best peer", 3, _times(found, RAW)),
        _least(f"{RAW}: share of the limit", 0.5, found.share(RAW, "ours")),
        _least(f"{BOTH}: × the best peer", 2.5, _times(found, BOTH)),
        _least(f"{JPEG}: share of the limit", 0.9, found.share(JPEG, "ours")),
        _least(f"{JPEG}: × WebDataset", 1.6, _times(found, JPEG, ("webdataset",))),
        _least(f"{JPEG}: × MosaicML", 1.6, _times(found, JPEG, ("mosaicml",))),
        _least(f"{LARGE}: share of the limit", 0.9, found.share(LARGE, "ours")),
        _least(f"{LARGE}: × the best peer", 1, _times(found, LARGE)),
        _most("first batch, cold: seconds", 0.5, cold),
        _most("first batch in the middle: × a cold start's", 1, _quotient(resumed, cold)),
        _most("bytes for it: × a cold start's", 1, _quotient(middle_mb, cold_mb)),
        _most("memory: MB over torch, largest row", 300, max(known) if known else None),
        _least(f"{FAR}: × LitData", 4, _times(found, FAR, ("litdata",))),
        _least(f"{FAR}: × MosaicML", 4, _times(found, FAR, ("mosaicml",))),
    ]


def _times(found: Found, row: str, peers: tuple[str, ...] | None = None) -> float | None:
    """Our films a second by those of the fastest of `peers`, or of all."""
    names = found.results.get(row, {}).keys() - {"ours"} if peers is None else peers
    rates = [rate for name in names if (rate := found.films_s(row, name)) is not None]
    return _quotient(found.films_s(row, "ours"), max(rates) if rates else None)


def _quotient(over: float | None, under: float | None) -> float | None:
    return over / under if over is not None and under else None


def _least(what: str, aim: float, value: float | None) -> tuple[str, ...]:
    met = value is not None and value >= aim
    return _verdict(what, f"≥ {aim:g}", value, met, aim)


def _most(what: str, aim: float, value: float | None) -> tuple[str, ...]:
    met = value is not None and value <= aim
    return _verdict(what, f"≤ {aim:g}", value, met, aim)


def _verdict(what: str, rule: str, value: float | None, met: bool, aim: float) -> tuple[str, ...]:
    if value is None:
        return (what, rule, "–", "not measured")
    verdict = "reached" if met else f"NOT reached: {abs(value / aim - 1):.0%} off"
    return (what, rule, f"{value:,.2f}", verdict)
