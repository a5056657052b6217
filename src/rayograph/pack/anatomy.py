"""The anatomy of the phantoms: what a beam meets on its way through a chest.

x runs across from the patient's midline, positive to the film's right (the patient's left); y runs
down from the film's top. Both, and all other lengths, are fractions of the film's width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Field = NDArray[Any]  # float32, [size, size], or [size, 1] where only y matters

RIB_SPACING, RIB_HALF_WIDTH, RIB_DROP = 0.064, 0.013, 0.27  # the drop: from spine to sternum
VERTEBRA, SPINE_HALF_WIDTH, CARINA, AIRWAY_HALF_WIDTH, APEX_X = 0.055, 0.036, 0.36, 0.018, 0.13
SCAPULA = np.array(
    [
        (0.27, 0.23),
        (0.30, 0.46),
        (0.33, 0.50),
        (0.345, 0.52),
        (0.375, 0.46),
        (0.435, 0.28),
        (0.44, 0.175),
        (0.35, 0.20),
    ]
)
HUMERUS = np.array([(0.47, 0.225), (0.475, 0.25), (0.56, 0.75)])
OVERSAMPLING = 2  # of what Pillow draws, as it leaves edges jagged


@dataclass(frozen=True)
class Body:
    """What a patient's films have in common."""

    bulk: float  # 0 slim … 1 heavy
    cage: float  # half-width of the lungs at their widest
    apex: float  # y of their tops
    heart: float  # scale
    breast: float  # negative for none
    rise: float  # of the clavicles towards the shoulders
    seed: float  # of the vessels


BODY = np.array(
    [(0, 1), (0.36, 0.42), (0.09, 0.14), (0.8, 1.15), (-1, 1), (0.05, 0.10), (0, 1 << 32)]
)


@dataclass(frozen=True)
class Shot:
    """What differs between a patient's films: stance, breath, exposure."""

    x: float
    y: float
    lean: float  # sideways, as a slope
    turn: float  # how far the chest's front moves against its back
    breath: float  # y of the right diaphragm's dome
    exposure: float
    contrast: float
    noise: float  # relative to an unweakened beam's


SHOT = np.array(
    [
        (-0.02, 0.02),
        (-0.02, 0.03),
        (-0.05, 0.05),
        (-0.012, 0.012),
        (0.68, 0.78),
        (-0.2, 0.2),
        (0.85, 1.2),
        (0.005, 0.014),
    ]
)


class Chest:
    """One patient before one film: a method for each structure, giving its depth in the beam."""

    def __init__(self, body: Body, shot: Shot, size: int) -> None:
        self.body, self.shot, self.size = body, shot, size
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.y: Field = axis[:, None] - shot.y
        self.x: Field = axis[None, :] - 0.5 - shot.x - shot.lean * (self.y - 0.5)
        self.side = np.abs(self.x)
        square = (self.side / (0.5 * body.cage) - 1) ** 2
        lower = np.float32(0.02) * (self.x > 0)  # the right dome has the liver below
        self.under = self.y - shot.breath - lower - 0.03 * square * (1 + square)

    def tissue(self) -> Field:
        """Neck, shoulders, trunk and arms."""
        bulk, side, y = self.body.bulk, self.side, self.y
        neck, flank = 0.095 + 0.02 * bulk, self.body.cage + 0.035 + 0.05 * bulk
        top = 0.18 * (1 - neck / np.maximum(side, 0.01))
        trunk = dome(side / (0.75 - (0.75 - flank) * smooth(y, 0.28, 0.50)))
        trunk = trunk * np.sqrt(np.clip((y - top) / 0.3, 0, 1)) * (1 + 0.25 * bulk)
        arm = dome((side - flank - 0.09 - 0.1 * (y - 0.3)) / 0.08) * smooth(y, 0.16, 0.3)
        return np.maximum(trunk, 0.7 * arm)

    def cage(self, margin: float) -> Field:
        """Give the half-width of the lungs, plus a margin, at each y."""
        t = np.clip(1 - (self.y - self.body.apex + margin) / 0.5, 0, 1)
        return APEX_X + (self.body.cage + margin - APEX_X) * np.sqrt(1 - t * t * (0.6 + 0.4 * t))

    def lungs(self) -> Field:
        """Give the share of their full depth; some of it lies behind the diaphragm."""
        below_top = self.y - self.body.apex
        inner = APEX_X - (APEX_X - 0.03) * dome(np.clip(1 - below_top / 0.2, 0, 1))
        rim = np.clip((self.cage(0) - self.side) / 0.07, 0, 1) * smooth(self.side - inner, 0, 0.04)
        floor = 0.85 * smooth(-self.under, -0.004, 0.006) + 0.15 * smooth(-self.under, -0.12, 0)
        return np.sqrt(rim * np.clip(below_top / 0.05, 0, 1)) * floor

    def heart(self) -> Field:
        """Heart, its apex to the patient's left, and the great vessels, between two outlines."""
        y, low, scale = self.y, self.shot.breath, self.body.heart
        point = smooth(y, 0.42, low - 0.01) * (1 - 0.3 * smooth(y, low - 0.03, low + 0.06))
        left = 0.05 + 0.03 * bump(y, 0.33, 0.05) + 0.025 * bump(y, 0.42, 0.07)
        left = left + 0.15 * scale * point
        right = 0.05 + 0.05 * scale * bump(y, low - 0.12, 0.19)
        inside = dome((2 * (self.x - self.shot.turn) - left + right) / (left + right))
        deep = 0.2 + 0.45 * smooth(y, 0.12, 0.32) + 0.35 * smooth(y, 0.38, low - 0.1)
        return inside * deep * (0.3 + 0.7 * smooth(-self.under, -0.08, 0.02))

    def ribs(self) -> Field:
        """Tilted rings: seen from the front, half of each ellipse lies behind and half before."""
        u = self.side / self.cage(0.015)
        deep = dome(u)
        grazing = smooth(-u, -1.01, -0.97) / np.maximum(deep, 0.35)
        y = self.y - self.body.apex + 0.03
        back, front = y - RIB_DROP * (1 - deep) / 2, y - RIB_DROP * (1 + deep) / 2
        bony = smooth(u, 0.3, 0.6)  # cartilage, towards the sternum, does not show
        shown = grazing * (1 - 0.5 * smooth(self.under, -0.01, 0.01))
        return shown * (rings(back, 11) + 0.55 * bony * rings(front, 7))

    def spine(self) -> Field:
        """Vertebral bodies between their discs, pedicles, spinous processes."""
        phase = (self.y / VERTEBRA) % 1
        body = 1 - 0.5 * smooth(np.abs(phase - 0.5), 0.34, 0.42)
        height = (phase - 0.4) * VERTEBRA
        pedicles = ellipse(self.side - 0.022, height, 0.006, 0.010)
        process = ellipse(self.x, height - 0.008, 0.005, 0.014)
        return np.sqrt(dome(self.x / SPINE_HALF_WIDTH)) * body + 0.5 * (pedicles + process)

    def airway(self) -> Field:
        """Trachea and main bronchi."""
        x, beyond = self.x - self.shot.turn, self.y - CARINA
        trachea = dome((x + 0.004) / AIRWAY_HALF_WIDTH) * smooth(-beyond, -0.02, 0.01)
        bronchi = dome((np.abs(x) - 0.9 * beyond) / AIRWAY_HALF_WIDTH) * smooth(beyond, 0, 0.01)
        return trachea + 0.4 * bronchi * smooth(-beyond, -0.09, -0.04)

    def breasts(self) -> Field:
        """Two soft shadows over the lower lungs."""
        hung = ellipse(self.side - 0.21, self.y - 0.64, 0.16, 0.15)
        return max(0.0, self.body.breast) * hung * smooth(self.y, 0.48, 0.68)

    def stomach(self) -> Field:
        """Gas under the left dome, above the level of its fluid."""
        above = self.shot.breath + 0.085 - self.y
        return ellipse(self.x - 0.15, above - 0.01, 0.07, 0.035) * smooth(above, 0, 0.004)

    def vessels(self) -> Field:
        """Trees that branch and thin out from the two hila."""
        rng = np.random.default_rng(int(self.body.seed))
        pen = Pen(self.shot, self.size)
        for side in (-1, 1):
            angle = np.linspace(-1.4, 1.5, 7) + rng.normal(0, 0.15, 7)
            start = (0.03, 0.43) + aim(angle) * (0.02, 0.05)
            for order in range(6):
                reach = 0.058 * 0.84**order * rng.uniform(0.6, 1.3, (len(angle), 1))
                end = start + reach * aim(angle)
                branches = np.stack([start, end], 1) * (side, 1)
                pen.lines(branches, 0.015 * 0.64**order, 200 - 25 * order)
                start, angle = np.repeat(end, 2, 0), np.repeat(angle, 2)
                angle += rng.normal(0, 0.42, len(angle))
        hila = ellipse(self.side - 0.06, self.y - 0.44, 0.05, 0.075)
        return pen.field() + 0.6 * hila * hila

    def bones(self) -> Field:
        """Shoulder blades, upper arms, clavicles."""
        pen = Pen(self.shot, self.size)
        s = np.linspace(0, 1, 16)
        thick = 0.011 + 0.008 * (2 * s - 1) ** 4
        height = 0.235 - self.body.rise * (2 * s - s * s) + 0.012 * np.sin(2 * np.pi * s)
        for side in (-1, 1):
            blade, arm = SCAPULA * (side, 1), HUMERUS * (side, 1)
            pen.shape(blade, 45)
            pen.lines(blade[None, 3:6], 0.012, 110)
            pen.lines(blade[None, [0, 7, 6]], 0.018, 90)
            pen.lines(arm[None, :2], 0.09, 60)
            pen.lines(arm[None], 0.055, 120)
            pen.lines(arm[None], 0.03, 80)
            along = side * (0.03 + 0.4 * s) + 2 * self.shot.turn
            for share, value in ((1.0, 210), (0.6, 130)):  # the cortex, then the marrow
                edges = height - share * thick, height + share * thick
                upper, lower = (np.stack([along, edge], 1) for edge in edges)
                pen.shape(np.concatenate([upper, lower[::-1]]), value)
        return pen.field()

    def marker(self) -> Field:
        """The lead letter L at the patient's left."""
        pen = Pen(self.shot, self.size)
        pen.lines([[(0.40, 0.04), (0.40, 0.075), (0.42, 0.075)]], 0.008, 255)
        return pen.field()


class Pen:
    """Draws with Pillow in the patient's coordinates."""

    def __init__(self, shot: Shot, size: int) -> None:
        self.shot, self.scale = shot, size * OVERSAMPLING
        self.plate = Image.new("L", (self.scale, self.scale))
        self.draw = ImageDraw.Draw(self.plate)

    def place(self, points: ArrayLike) -> list[list[float]]:
        """Map [n, k, 2] coordinates to the plate: n lists of k points, flattened."""
        x, y = np.moveaxis(np.asarray(points, np.float64), -1, 0)
        placed = np.stack([x + 0.5 + self.shot.x + self.shot.lean * (y - 0.5), y + self.shot.y], -1)
        return (placed * self.scale).reshape(len(placed), -1).tolist()

    def lines(self, points: ArrayLike, width: float, value: int) -> None:
        """Draw n open lines."""
        for line in self.place(points):
            self.draw.line(line, value, max(1, round(width * self.scale)), "curve")

    def shape(self, points: NDArray[np.float64], value: int) -> None:
        """Fill one polygon."""
        self.draw.polygon(self.place(points[None])[0], value)

    def field(self) -> Field:
        """Give what was drawn, 0 … 1."""
        return np.asarray(self.plate.reduce(OVERSAMPLING), np.float32) / 255


def smooth(x: Field, low: float, high: float) -> Field:
    """Rise from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: Field, centre: float, reach: float) -> Field:
    """Rise to 1 at `centre`, from and to 0 at `reach` from it."""
    t: Field = np.clip(1 - ((x - centre) / reach) ** 2, 0, 1)
    return t * t


def dome(r: Field) -> Field:
    """Give the depth of a unit sphere or cylinder at the distance r from its centre."""
    depth: Field = np.sqrt(np.clip(1 - r * r, 0, 1))
    return depth


def ellipse(x: Field, y: Field, wide: float, high: float) -> Field:
    """Give the depth of an ellipsoid about the origin, 0 … 1."""
    return np.sqrt(np.clip(1 - (x / wide) ** 2 - (y / high) ** 2, 0, 1))


def aim(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn angles into directions [n, 2]."""
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def rings(y: Field, count: int) -> Field:
    """Give `count` bands of bone, one every RIB_SPACING, denser at their edges."""
    k: Field = y / RIB_SPACING
    within = RIB_HALF_WIDTH - np.abs(k - np.floor(k) - 0.5) * RIB_SPACING
    bone: Field = smooth(within, 0, 0.005) - 0.45 * smooth(within, 0.003, 0.009)
    return np.where((k > 0) & (k < count), bone, np.float32(0))
