"""Packing against bare decoding, over all cores: `python -m benchmarks.packing FOLDER`.

FOLDER holds films (PNG or DICOM), which are taken again and again, under other names, until there
are as many as asked for. The bare rate is that of Pillow's `load` or pydicom's `pixel_array` alone,
in a process a core; what is packed is decoded, made gray, resized, hashed, looked at, written and
compared. Rounds are interleaved. Prints films per second, the ratio, and the largest memory of the
driver (resident, MB). With `--steps` it says instead how long each step of a picture takes (not of
DICOM), by the clock of one process.
"""

import argparse
import hashlib
import io
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageOps

from rayograph.cluster import session
from rayograph.config import PackOptions
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source


def main() -> None:
    """Measure, and print a line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path)
    parser.add_argument("--count", type=int, default=1000, help="films to pack")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", action="store_true", help="milliseconds of a picture's steps")
    told = parser.parse_args()
    if told.steps:
        steps(originals(told.films), told.size)
        return
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


def steps(films: list[Path], size: int) -> None:
    """Print the CPU time of each step and of all, in ms a film."""
    data = [film.read_bytes() for film in films]
    pictures = []

    def decoded() -> None:
        for each in data:
            picture = Image.open(io.BytesIO(each))
            picture.load()
            pictures.append(picture.convert("L"))

    def resized() -> None:
        for picture in pictures:
            ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)

    def hashed() -> None:
        for each in data:
            hashlib.sha256(each).hexdigest()

    def packed() -> None:
        options = PackOptions(size=size, split="test", max_rejected=len(films))
        with tempfile.TemporaryDirectory() as folder:
            for i, film in enumerate(films):
                place = Path(folder, "films", ("normal", "opacity")[i % 2], film.name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(film.absolute())
            source = open_source(f"{folder}/films", options)
            pack(source, f"{folder}/packed", one_by_one)

    for step in (packed, decoded, resized, hashed, packed):  # the first warms up what is imported
        began = time.process_time()
        step()
        spent = 1000 * (time.process_time() - began) / len(films)
        print(f"{step.__name__:<8} {spent:5.1f} ms of a core")


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
