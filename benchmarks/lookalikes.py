"""Near-identical films among real ones: false alarms, planted copies that are found, and time.

    PYTHONPATH=src .venv/bin/python -m benchmarks.lookalikes ../shared/data/pneumonia [many]

`many` films (100,000) are thumbnails blended of two real ones, which crowd like real films.
"""

import io
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from rayograph.data.recipe import ImageRecipe
from rayograph.pack import lookalikes
from rayograph.pack.decode import decode

RECIPE = ImageRecipe(size=256, resize="crop")
PLANTED, SEED = 30, 0


def _jpeg(image: Image.Image) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=60)
    return Image.open(out)


def _crop(image: Image.Image) -> Image.Image:
    x, y = round(image.width * 0.005), round(image.height * 0.005)
    return image.crop((x, y, image.width - x, image.height - y))


def _corner(image: Image.Image) -> Image.Image:
    return image.crop((round(image.width * 0.01), round(image.height * 0.01), *image.size))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 60": _jpeg,
    "brighter by 8": lambda image: image.point(lambda level: min(level + 8, 255)),
    "cropped by 1 % about the centre": _crop,
    "cropped by 1 % at one corner": _corner,
    "resized to 90 %": lambda image: image.resize(
        (round(image.width * 0.9), round(image.height * 0.9)), Image.Resampling.BICUBIC
    ),
}


def _looks(files: list[bytes]) -> tuple[lookalikes.Hashes, lookalikes.Thumbs]:
    found = [
        lookalikes.looks(np.stack([decode(data, RECIPE).values for data in files[i : i + 256]]))
        for i in range(0, len(files), 256)
    ]
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def main(folder: Path, many: int) -> None:
    """Print the three answers."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpeg", ".jpg", ".png"))
    files = [path.read_bytes() for path in paths]
    hashes, thumbs = _looks(files)
    found, seconds, _ = _timed(hashes, thumbs)
    identical = sum(files[i] == files[j] for i, j in found)
    print(f"{len(files)} films, {seconds:.1f} s: {len(found)} pairs, {identical} identical files")
    _plant(files, hashes, thumbs)
    _crowd(thumbs, many)


def _plant(files: list[bytes], hashes: lookalikes.Hashes, thumbs: lookalikes.Thumbs) -> None:
    rng, films = np.random.default_rng(SEED), len(files)
    for name, alter in ALTERED.items():
        chosen = rng.choice(films, PLANTED, replace=False)
        copies = [_png(alter(Image.open(io.BytesIO(files[i])).convert("L"))) for i in chosen]
        more, extra = _looks(copies)
        found, _, _ = _timed(np.concatenate([hashes, more]), np.concatenate([thumbs, extra]))
        planted = found[found[:, 1] >= films]
        hits = len(set(planted[:, 1].tolist()))
        false = int((chosen[planted[:, 1] - films] != planted[:, 0]).sum())
        print(f"planted, {name}: {hits} of {PLANTED} found; with another film: {false}")


def _crowd(thumbs: lookalikes.Thumbs, many: int) -> None:
    one, two = np.random.default_rng(SEED).integers(0, len(thumbs), (2, many))
    blended = np.empty((many, lookalikes.THUMB, lookalikes.THUMB), np.uint8)
    for row, (a, b) in enumerate(zip(one, two, strict=True)):
        blended[row] = (thumbs[a].astype(np.uint16) * 2 + thumbs[b]) // 3
    parts = [lookalikes.looks(blended[i : i + 1024])[0] for i in range(0, many, 1024)]
    hashes = np.concatenate(parts)
    found, seconds, held = _timed(hashes, blended)
    distinct = len(np.unique(hashes))
    print(f"{many} films of {distinct} hashes: {len(found)} pairs, {seconds:.1f} s, +{held:.0f} MB")


def _timed(
    hashes: lookalikes.Hashes, thumbs: lookalikes.Thumbs
) -> tuple[lookalikes.Ints, float, float]:
    """The pairs, the seconds, and how many MB more than before the process has held at most."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = lookalikes.pairs(hashes, lambda rows: thumbs[rows])
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    return found, time.perf_counter() - begun, held


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
