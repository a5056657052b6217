"""Packing against bare decoding, over all cores: `python -m benchmarks.packing FOLDER`.

FOLDER holds films (PNG or DICOM), which are taken again and again, under other names, until there
are as many as asked for. The bare rate is that of Pillow's `load` or pydicom's `pixel_array` alone,
in a process a core; what is packed is decoded, made gray, resized, hashed, looked at, written and
compared. Rounds are interleaved. Prints films per second, the ratio, and the largest memory of the
driver (resident, MB).
"""

import argparse
import io
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

from rayograph.cluster import session
from rayograph.config import PackOptions
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source


def main() -> None:
    """Measure, and print a line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path)
    parser.add_argument("--count", type=int, default=1000, help="films to pack")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    told = parser.parse_args()
    os.environ.setdefault("RAYOGRAPH_SALT", "of a benchmark")
    ratios = []
    with tempfile.TemporaryDirectory() as folder, session.connected(1):
        source, films = Path(folder, "films"), originals(told.films)
        copies = [shutil.copy(film, Path(folder, f"{i}")) for i, film in enumerate(films)]
        for i in range(told.count):
            film = films[i % len(films)]
            place = source / ("normal", "opacity")[i % 2] / f"{i:06}{film.suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(copies[i % len(films)], place)
        for number in range(told.rounds):
            bare = bare_rate(films, min(told.count, 1000))
            began = time.monotonic()
            options = PackOptions(size=told.size, max_rejected=told.count)
            place = Path(folder, f"packed-{number}")
            pack(open_source(str(source), options), str(place), session.parallel_map)
            rate = told.count / (time.monotonic() - began)
            shutil.rmtree(place)
            ratios.append(rate / bare)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
            print(f"bare {bare:.0f}/s  packed {rate:.0f}/s  {rate / bare:.2f}  driver {memory} MB")
    print(f"median ratio {statistics.median(ratios):.2f}")


def originals(folder: Path) -> list[Path]:
    """The films below a folder."""
    return sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".jpg", ".jpeg", ".dcm"))


def bare_rate(films: list[Path], count: int) -> float:
    """Films decoded a second, by a process a core."""
    cores = len(os.sched_getaffinity(0))
    work = [films[i % len(films)] for i in range(count)]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(decode, work[: 2 * cores], chunksize=1)  # imports
        began = time.monotonic()
        pool.map(decode, work, chunksize=16)
        return count / (time.monotonic() - began)


def decode(film: Path) -> int:
    """A film's pixels, as its library gives them."""
    data = film.read_bytes()
    if film.suffix == ".dcm":
        import pydicom

        return int(pydicom.dcmread(io.BytesIO(data), force=True).pixel_array.size)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.width * image.height


if __name__ == "__main__":
    main()
