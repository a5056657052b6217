"""Procedural health records: windows of a motion sensor, a table for demos and tests.

Each row describes four seconds of a simulated three-axis accelerometer at 50 Hz, worn by somebody
during one of several exercises: what a wearable's export looks like.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EXERCISES = {  # steps a second, their strength up and down, across, forwards [g]
    "rest": (0.0, 0.01, 0.01, 0.01),
    "walking": (1.8, 0.35, 0.15, 0.20),
    "squats": (0.5, 0.45, 0.08, 0.15),
    "jumping jacks": (2.2, 0.80, 0.55, 0.20),
}
STRENUOUS = ("squats", "jumping jacks")
PLACES = {"wrist": (1.4, 1.5, 1.3), "ankle": (1.2, 0.9, 1.6), "chest": (1.0, 0.7, 0.8)}
SECONDS, HERTZ, WINDOWS = 4, 50, 8  # a window, its samples a second; windows a person
MISSING = 0.03  # of the heart rates


def write(path: Path, people: int, seed: int) -> None:
    """Write the table: `people` × 8 rows, the exercise in the last column."""
    rng = np.random.default_rng(seed)
    rows = [row for person in range(people) for row in _windows(f"p{person:04}", rng)]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _windows(person: str, rng: np.random.Generator) -> Iterator[dict[str, str]]:
    """The rows of one person, who has one sensor and a fitness of their own."""
    place = str(rng.choice(list(PLACES)))
    strength, pace = rng.lognormal(0, 0.25), rng.normal(1, 0.08)
    resting, age = rng.normal(66, 8), int(rng.integers(18, 80))
    for exercise in rng.choice(list(EXERCISES), WINDOWS):
        signal = _signal(str(exercise), place, strength, pace, rng)
        steps, effort, *_ = EXERCISES[str(exercise)]
        heart = resting + 60 * effort * strength + 5 * steps + rng.normal(0, 6)
        yield {
            "person": person,
            "age": str(age),
            "sensor": place,
            **{name: f"{value:.4f}" for name, value in _features(signal).items()},
            "heart_rate": "" if rng.random() < MISSING else f"{heart:.0f}",
            "strenuous": "yes" if exercise in STRENUOUS else "no",
            "exercise": str(exercise),
        }


def _signal(
    exercise: str, place: str, strength: float, pace: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Acceleration [3, samples] in g: gravity, a movement with one harmonic, noise."""
    steps, *amplitudes = EXERCISES[exercise]
    time = np.arange(SECONDS * HERTZ) / HERTZ
    phases = rng.uniform(0, 2 * np.pi, 3)[:, None]
    turn = 2 * np.pi * steps * pace * time
    wave = np.sin(turn + phases) + 0.4 * np.sin(2 * turn + 1.7 * phases)
    size = strength * np.array(amplitudes) * np.array(PLACES[place])
    tilt = rng.normal(0, 0.15, 3) + np.array([1, 0, 0])
    noise = rng.normal(0, 0.06, (3, len(time)))
    return np.asarray(size[:, None] * wave + tilt[:, None] + noise)


def _features(signal: NDArray[np.float64]) -> dict[str, float]:
    """What a window is described by: each axis' mean, deviation and range, and the main pace."""
    found: dict[str, float] = {}
    for axis, values in zip("xyz", signal, strict=True):
        found |= {f"{axis}_mean": values.mean(), f"{axis}_std": values.std()}
        found[f"{axis}_range"] = np.ptp(values)
    spectrum = (np.abs(np.fft.rfft(signal - signal.mean(1, keepdims=True))) ** 2).sum(0)
    frequencies = np.fft.rfftfreq(signal.shape[1], 1 / HERTZ)
    found["pace_hz"] = frequencies[spectrum.argmax()]
    found["jerk"] = np.abs(np.diff(signal)).mean() * HERTZ
    return {name: float(value) for name, value in found.items()}
