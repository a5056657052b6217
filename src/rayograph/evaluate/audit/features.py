"""What can be known of a film without its anatomy: its file, a thumbnail, its border."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rayograph.data import stream
from rayograph.data.dataset import Dataset
from rayograph.task import ABSENT, PRESENT, Labels, Task
from rayograph.task.metric import Floats

Films = npt.NDArray[Any]
Features = npt.NDArray[np.float32]

NUMBERS = ("width", "height", "pixel_spacing_mm", "coloured", "burnt_in")
WORDS = (
    "format", "mode", "manufacturer", "modality", "body_part", "view", "laterality",
    "transfer_syntax", "window",
)  # fmt: skip
CELLS = 8  # of a thumbnail each way, and along each side of the border
FRAME = 10  # the border is one part in so many of the film's side
CODES = 200  # words of a column that are told apart, the commonest first


@dataclass(frozen=True)
class Columns:
    """The columns of the index that say something of the original file.

    `used` differ between training films; `constant` are alike in all of them; `unknown` are not in
    the index, or empty.
    """

    used: tuple[str, ...]
    constant: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """Films of a split in stored order: float32 [n, 64] each, and the labels int8 [n, m]."""

    thumbnail: Features
    border: Features
    labels: Labels


def columns(table: Any) -> Columns:
    """Those of the training films' table. Ids, labels, splits and all other columns are not used.

    Nor are age and sex, which are the patient's and not the file's.
    """
    found: dict[str, list[str]] = {"used": [], "constant": [], "unknown": []}
    for name in (*NUMBERS, *WORDS):
        values = {*table.column(name).to_pylist()} if name in table.column_names else {None}
        kind = "unknown" if values == {None} else "constant" if len(values) == 1 else "used"
        found[kind].append(name)
    return Columns(**{kind: tuple(names) for kind, names in found.items()})


def metadata(names: Sequence[str], fitted_on: Any, *tables: Any) -> list[Floats]:
    """These columns of each table as numbers [n, len(names)]; NaN is not known.

    A word is its place among those of the table `fitted_on`, the commonest first; NaN if rare.
    """
    return [
        np.stack([_numbers(name, fitted_on, table) for name in names], axis=1) for table in tables
    ]


def _numbers(name: str, fitted_on: Any, table: Any) -> Floats:
    values = table.column(name).to_pylist() if name in table.column_names else [None] * len(table)
    if name in NUMBERS:
        return np.array([np.nan if value is None else float(value) for value in values])
    seen = [value for value in fitted_on.column(name).to_pylist() if value is not None]
    words, counts = np.unique(np.array(seen, dtype=np.str_), return_counts=True)
    common = words[np.argsort(-counts, kind="stable")][:CODES].tolist()
    codes = {word: float(code) for code, word in enumerate(common)}
    return np.array([codes.get(value, np.nan) for value in values])


def seen(
    dataset: Dataset, split: str, also: Callable[[Films, Any], None] = lambda _films, _rows: None
) -> Seen:
    """The features of every film of a split, which is read once, a record batch at a time.

    `also` is given each batch of films, uint8 [n, P, P], and their rows.
    """
    rows, classes = dataset.split(split).rows, len(dataset.manifest.classes)
    out = Seen(
        np.empty((rows, CELLS * CELLS), np.float32),
        np.empty((rows, 8 * CELLS), np.float32),
        np.empty((rows, classes), np.int8),
    )
    for batch in stream.stored(dataset, split):
        out.thumbnail[batch.rows] = thumbnail(batch.inputs)
        out.border[batch.rows] = border(batch.inputs)
        out.labels[batch.rows] = batch.labels
        also(batch.inputs, batch.rows)
    return out


def thumbnail(films: Films) -> Features:
    """Mean gray levels in 8 × 8 cells of films [n, P, P]: [n, 64]."""
    return _means(films, CELLS, CELLS)


def border(films: Films) -> Features:
    """Mean and brightest gray level in 8 cells along each side of the outer tenth: [n, 64]."""
    side = films.shape[1]
    width = frame(side)
    strips = (
        (films[:, :width], 1, CELLS),
        (films[:, side - width :], 1, CELLS),
        (films[:, width : side - width, :width], CELLS, 1),
        (films[:, width : side - width, side - width :], CELLS, 1),
    )
    found = [part for strip in strips for part in (_means(*strip), _brightest(*strip))]
    return np.concatenate(found, axis=1)


def frame(side: int) -> int:
    """The width of the border in pixels, of a film of so many."""
    return max(1, round(side / FRAME))


def masked(films: Films, middle: bool) -> Films:
    """Films uint8 [n, P, P] with the middle, or all but it, filled with each film's mean gray.

    The middle is all but the border: a fixed box, which is not fitted to the lungs.
    """
    width = frame(films.shape[1])
    inside = slice(width, films.shape[1] - width)
    mean = films.mean(axis=(1, 2)).round().astype(films.dtype)[:, None, None]
    if middle:
        out = films.copy()
        out[:, inside, inside] = mean
        return out
    out = np.broadcast_to(mean, films.shape).copy()
    out[:, inside, inside] = films[:, inside, inside]
    return out


def of_file(names: Sequence[str]) -> ClassifierMixin:
    """A classifier of these columns as `metadata` gives them: boosted trees, which take NaN."""
    return HistGradientBoostingClassifier(
        max_iter=50,
        min_samples_leaf=5,
        categorical_features=[name in WORDS for name in names],
        early_stopping=False,
        random_state=0,
    )


def of_pixels() -> ClassifierMixin:
    """A classifier of a few dozen gray levels: standardised, logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def logits(
    task: Task, make: Callable[[], ClassifierMixin], train: Any, labels: Labels, test: Any
) -> Floats:
    """Logits [m, k] of test features [m, f], of a classifier fitted to train [n, f], labels [n, k].

    Of several labels a classifier each, on the films of which the label is known. Where only one
    class is, or none, all films get the same probability.
    """
    if not task.by_label:
        return task.logits(_probabilities(make, train, labels.argmax(axis=1), test, task.outputs))
    found = np.full((len(test), task.outputs), 0.5)
    for i, states in enumerate(labels.T):
        known = states >= ABSENT
        if known.any():
            truth = (states[known] == PRESENT).astype(np.int64)
            found[:, i] = _probabilities(make, train[known], truth, test, 2)[:, 1]
    return task.logits(found)


def _probabilities(
    make: Callable[[], ClassifierMixin], train: Any, truth: Any, test: Any, outputs: int
) -> Floats:
    model: Any = make() if len(np.unique(truth)) > 1 else DummyClassifier(strategy="prior")
    model.fit(train, truth)
    found = np.zeros((len(test), outputs))
    found[:, model.classes_] = model.predict_proba(test)
    return found


def _edges(length: int, cells: int) -> Any:
    return np.arange(cells) * length // cells


def _means(films: Films, rows: int, cells: int) -> Features:
    high, wide = _edges(films.shape[1], rows), _edges(films.shape[2], cells)
    total = np.add.reduceat(films, high, axis=1, dtype=np.float32)
    total = np.add.reduceat(total, wide, axis=2)
    heights = np.diff(high, append=films.shape[1])
    widths = np.diff(wide, append=films.shape[2])
    area = np.outer(heights, widths).astype(np.float32)
    return np.asarray((total / area).reshape(len(films), -1))


def _brightest(films: Films, rows: int, cells: int) -> Features:
    high, wide = _edges(films.shape[1], rows), _edges(films.shape[2], cells)
    found = np.maximum.reduceat(np.maximum.reduceat(films, high, axis=1), wide, axis=2)
    return found.reshape(len(films), -1).astype(np.float32)
