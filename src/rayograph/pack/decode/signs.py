"""Signs that a film is odd: white where it should be black, letters in it, colour.

Each is a warning and never a reason to refuse: films go by their looks here, and looks deceive.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Film = npt.NDArray[np.uint8]

SMALL = 32  # side that polarity is judged on
INVERTED = 0.25  # of the small film's standard deviation
READ = 512  # side that letters are looked for on
LETTERS = 5  # in a line; fewer are a marker of the side, or a date that is cut off
COLOURED = 32  # levels between channels; JPEG's coarse chroma stays below


def looks_inverted(film: Film) -> bool:
    """Whether air is white in a film, uint8 [height, width]: a negative, or a wrong polarity.

    Lungs and the upper corners (air beside the neck) are darker than the mediastinum in an upright
    frontal film; their two differences to it, added up, decide.
    """
    step = max(1, min(film.shape) // 64)
    image = Image.fromarray(np.ascontiguousarray(film[::step, ::step]))
    small = np.asarray(image.resize((SMALL, SMALL), Image.Resampling.BOX), np.float32)
    middle = small[10:24, 14:18].mean()
    lungs = (small[9:20, 7:12].mean() + small[9:20, 20:25].mean()) / 2
    corners = (small[:6, :5].mean() + small[:6, -5:].mean()) / 2
    return bool(lungs + corners - 2 * middle > INVERTED * small.std())


def has_text(film: Film) -> bool:
    """Whether letters are burnt into a film, uint8 [height, width]: five or more in one line.

    Letters are small separate patches that are nearly as bright as anything in the film, of one
    height and on one line, near each other.
    """
    step = max(1, round(max(film.shape) / READ))
    bright = _brightest(_brightest(film, step).T, step).T
    mask = bright >= 0.9 * int(bright.max())
    patches, _ = ndimage.label(mask, np.ones((3, 3)))
    boxes = ndimage.find_objects(patches)
    found = np.array(
        [(y.stop, y.stop - y.start, x.start, x.stop) for y, x in boxes], np.float64
    ).reshape(-1, 4)
    tall, wide = found[:, 1], found[:, 3] - found[:, 2]
    return _aligned(found[(tall >= 5) & (tall <= 48) & (wide <= 1.6 * tall)])


def _brightest(film: Film, step: int) -> Film:
    """Of each `step` rows the largest values: strokes of one pixel stay as bright as they are."""
    rows = len(film) // step * step
    bright = film[0:rows:step]
    for shift in range(1, step):
        bright = np.maximum(bright, film[shift:rows:step])
    return bright


def _aligned(letters: npt.NDArray[np.float64]) -> bool:
    """Whether five of such boxes (bottom, height, left, right) stand in one line."""
    for bottom, tall, left, _ in letters:
        line = letters[
            (abs(letters[:, 0] - bottom) <= 0.12 * tall + 0.5)
            & (abs(letters[:, 1] - tall) <= 0.25 * tall)
            & (letters[:, 2] >= left)
        ]
        line = line[np.argsort(line[:, 2])]
        near = line[1:, 2] - line[:-1, 3] <= tall
        if len(line) >= LETTERS and near[: LETTERS - 1].all():
            return True
    return False


def coloured(pixels: npt.NDArray[np.uint8]) -> float:
    """The share of pixels whose channels differ clearly, of uint8 [height, width, 3]; 0 to 1.

    16,000 pixels of it, at most, are looked at.
    """
    step = -(-max(pixels.shape[:2]) // 128)
    red, green, blue = np.moveaxis(np.ascontiguousarray(pixels[::step, ::step]), 2, 0)
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return float((most - least > COLOURED).mean())
