"""A few packed samples that an exported model is tried on."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from rayograph.data import stream
from rayograph.data.dataset import Dataset
from rayograph.data.inputs import Samples
from rayograph.data.recipe import TableTransform, difference
from rayograph.errors import Failure, UserError, one_line
from rayograph.runs.card import ModelCard

COUNT = 32
SPLITS = ("val", "test", "train")  # the first that has so many, else the largest
MISSING_SHARE = 0.1  # of the values of random records


@dataclass(frozen=True)
class Specimens:
    """Packed samples [n, *shape], and in words where they are from."""

    values: Samples
    origin: str


def take(card: ModelCard, data: str | None) -> Specimens:
    """The first samples of a split of `data`, or else of the dataset that a model was trained on.

    Where that one cannot be read any more they are random. `UserError` where `data` is no dataset,
    or one of another recipe than the model's.
    """
    if data is not None:
        return _first(Dataset.open(data), card)
    try:
        return _first(Dataset.open(card.dataset, fold=card.fold), card)
    except (UserError, Failure) as error:
        return Specimens(drawn(card), f"random samples, since {one_line(error)}")


def drawn(card: ModelCard) -> Samples:
    """Random samples in the range of a model's packed ones, the same every time.

    Films uint8 of every gray level; records float32 with the training records' means and
    deviations, with every category, unknown ones too, and with missing values.
    """
    chance = np.random.default_rng(0)
    if not isinstance(card.transform, TableTransform):
        return chance.integers(0, 256, (COUNT, *card.recipe.shape), dtype=np.uint8)
    columns = [
        chance.integers(0, each.categories + 1, COUNT)  # the last is none of the known ones
        if each.categories
        else chance.normal(each.mean, each.std, COUNT)
        for each in card.transform.features
    ]
    records = np.stack(columns, axis=1).astype(np.float32)
    records[chance.random(records.shape) < MISSING_SHARE] = np.nan
    return records


def _first(dataset: Dataset, card: ModelCard) -> Specimens:
    differs = difference(card.recipe, dataset.manifest.recipe)
    if differs:
        raise UserError(f"{dataset.uri}: packed by another recipe than the model's: {differs}")
    parts = dataset.manifest.parts
    rows = {name: sum(parts[p].rows for p in dataset.splits.get(name, ())) for name in SPLITS}
    split = max(rows, key=lambda name: min(rows[name], COUNT))  # the first of those with enough
    count = min(COUNT, dataset.split(split).rows)
    found: list[Samples] = []
    with closing(stream.stored(dataset, split)) as batches:
        while sum(map(len, found)) < count:
            found.append(next(batches).inputs.copy())
    values = np.concatenate(found)[:count]
    return Specimens(values, f"{count} {split} {dataset.inputs.noun} of {dataset.uri}")
