"""One film, in the numbers of bits and channels that files have."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.generic]


def picture(seed: int) -> npt.NDArray[np.uint8]:
    """A film [83, 101] from 0 to 255: a gradient, a bright bow, and noise; of no symmetry."""
    y, x = np.mgrid[0:83, 0:101] / np.array([83.0, 101.0]).reshape(2, 1, 1)
    bow = np.exp(-(((np.hypot(x - 0.3, y - 0.1 * seed) - 0.4) / 0.1) ** 2))
    grain = np.random.default_rng(seed).normal(0, 0.02, x.shape)
    film = 0.4 * x + 0.2 * y + 0.5 * bow + grain
    film = (film - film.min()) / (film.max() - film.min())
    return np.rint(film * 255).astype(np.uint8)


GRAY = picture(1)
COLOUR = np.dstack([GRAY, picture(3), picture(5)])
ALPHA = picture(7)
NONE = np.zeros_like(GRAY)
GRAY_ALPHA, COLOUR_ALPHA = np.dstack([GRAY, ALPHA]), np.dstack([COLOUR, ALPHA])
HEIGHT, WIDTH = GRAY.shape
TWELVE = np.rint(GRAY / 255 * 4095).astype(np.uint16)
SIXTEEN = GRAY.astype(np.uint16) * 257
UNIT = (GRAY / 255).astype(np.float32)


def levels(bits: int) -> npt.NDArray[np.uint8]:
    """The film in that many bits: 0 to 2^bits - 1."""
    return GRAY >> (8 - bits)


def spread(bits: int) -> npt.NDArray[np.uint8]:
    """The film in that many bits, as 8 bits show it."""
    return levels(bits) * np.uint8(255 // (2**bits - 1))


def wide(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """8 bits as 16."""
    return pixels.astype(np.uint16) * 257


def saved(pixels: Array | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A file of these pixels, as Pillow writes it."""
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, kind, **options)
    return out.getvalue()


def cmyk(ink: Array, black: Array) -> Image.Image:
    return Image.fromarray(np.dstack([ink, black]), "CMYK")
