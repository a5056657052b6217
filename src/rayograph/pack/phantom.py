"""Procedural frontal chest films, so that the demo and the tests need no network and no patient.

A film is the sum of what the beam meets, see `anatomy`; every MU is an optical depth.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from rayograph.pack.anatomy import BODY, SHOT, Body, Chest, Field, Shot, smooth

CLASSES = ("normal", "opacity")
PATIENT_PATTERN = r"(p\d+)_\d+\.png"
PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}

TISSUE_MU, LUNG_MU, HEART_MU, ABDOMEN_MU, BREAST_MU = 1.8, 1.25, 0.6, 0.8, 0.3
RIB_MU, SPINE_MU, BONE_MU, VESSEL_MU = 0.24, 0.32, 0.45, 0.45
AIRWAY_MU, GAS_MU, LEAD_MU = 0.5, 0.5, 2.0
OPACITY_MU, OPACITY_RADIUS = (0.35, 1.3), (0.05, 0.12)  # a small CNN reaches 0.86–0.95, not 1
SCATTER, BLUR, MID_MU, CONTRAST = 0.04, 0.6 / 256, 1.3, 1.8


def clouds(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Give smooth noise of about unit spread."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def patches(chest: Chest, rng: np.random.Generator) -> Field:
    """One to three soft consolidations, some of them faint."""
    total = np.zeros_like(chest.x)
    for _ in range(int(rng.integers(1, 4))):
        radius, squeeze = rng.uniform(*OPACITY_RADIUS), rng.uniform(0.7, 1.3)
        x = float(rng.choice((-1, 1))) * rng.uniform(0.13, chest.body.cage - 0.06)
        y = rng.uniform(chest.body.apex + 0.12, chest.shot.breath - 0.03)
        square = ((chest.x - x) / squeeze) ** 2 + ((chest.y - y) * squeeze) ** 2
        ragged = np.exp(-square / radius**2) * (1 + 0.5 * clouds(rng, chest.size, 24))
        total += rng.uniform(*OPACITY_MU) * np.clip(ragged, 0, 1.2)
    return total


def attenuation(chest: Chest, opacity: bool, rng: np.random.Generator) -> Field:
    """Sum the optical depths along each ray."""
    tissue, heart = chest.tissue(), chest.heart()
    air = chest.lungs() * (1 - 0.75 * np.minimum(1, 1.5 * heart))
    lung = VESSEL_MU * chest.vessels() - LUNG_MU
    lung += 0.05 * clouds(rng, chest.size, 40) + 0.04 * clouds(rng, chest.size, 90)
    if opacity:
        lung += patches(chest, rng)
    belly = smooth(chest.under, 0, 0.3)
    trunk = HEART_MU * heart + ABDOMEN_MU * belly + RIB_MU * chest.ribs() - GAS_MU * chest.stomach()
    bones = SPINE_MU * chest.spine() + BONE_MU * chest.bones()
    depth = TISSUE_MU * tissue + air * lung + smooth(tissue, 0, 0.6) * trunk + bones
    depth += BREAST_MU * chest.breasts() - AIRWAY_MU * chest.airway()
    return depth + LEAD_MU * chest.marker()


def develop(depth: Field, shot: Shot, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Expose a film to the weakened beam (Beer-Lambert), with blur, scatter and quantum noise."""
    beam: Field = gaussian_filter(np.exp(-np.maximum(depth, 0)), BLUR * len(depth), truncate=3)
    beam += SCATTER * float(beam.mean())
    grain = rng.standard_normal(beam.shape, dtype=np.float32)
    seen = shot.noise * grain / np.sqrt(beam) - np.log(beam)
    gray = 1 / (1 + np.exp((MID_MU + shot.exposure - seen) * CONTRAST * shot.contrast))
    return (255 * gray).astype(np.uint8)


def expose(patient: int, shot: int, opacity: bool, size: int) -> NDArray[np.uint8]:
    """Make one of a patient's films; the two seeds are independent."""
    anatomy, rng = np.random.default_rng((0, patient)), np.random.default_rng((1, shot))
    body = Body(*anatomy.uniform(*BODY.T).tolist())
    chest = Chest(body, Shot(*rng.uniform(*SHOT.T).tolist()), size)
    return develop(attenuation(chest, opacity, rng), chest.shot, rng)


def film(seed: int, opacity: bool, size: int = 256) -> NDArray[np.uint8]:
    """Make a film, uint8 [size, size], bright where dense; a seed fixes it, ±1 gray level."""
    return expose(seed, seed, opacity, size)


def write(
    folder: Path, films: int, seed: int, size: int = 256, parts: Mapping[str, float] = PARTS
) -> None:
    """Write exactly `films` PNGs as PART/CLASS/p00012_1.png, a patient's 1 to 3 in one part."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(list(parts.values())) / sum(parts.values())
    done, patient, opacity = 0, 0, False
    while done < films:
        part = list(parts)[int(np.searchsorted(shares, done / films, "right"))]
        # Of two neighbours one is ill, so that a small part has both classes too.
        opacity = not opacity if patient % 2 else bool(rng.integers(2))
        anatomy, count = int(rng.integers(1 << 32)), min(int(rng.integers(1, 4)), films - done)
        place = folder / part / CLASSES[opacity]
        place.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            made = expose(anatomy, int(rng.integers(1 << 32)), opacity, size)
            Image.fromarray(made).save(place / f"p{patient:05}_{number}.png")
        done, patient = done + count, patient + 1
