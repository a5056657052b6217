"""The promises hold for films and records, for one class a sample and for several labels.

The cell of films of one class is held by test_equality.py, which kills processes, too.
"""

import csv
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayograph.config import PackOptions, RunConfig
from rayograph.data import order, stream
from rayograph.data.dataset import Dataset
from rayograph.evaluate import evaluation
from rayograph.pack import phantom_records
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.stops import StopRequest, deaf
from tests import ranks
from tests.conftest import packing
from tests.promise.test_equality import ROUNDING, history

MODELS = {
    "films": ("model.name=cnn", "model.norm=group", "train.class_weights=balanced"),
    "records": ("model.name=mlp", "model.hidden=[16]", "augment.flip=0.5"),
}
WORDS = (
    "data.image_size=32", "model.width=8", "model.depth=2", "train.batch_size=20",
    "train.epochs=2", "labels.uncertain=smooth", "optim.lr=1e-3",
)  # fmt: skip


def labelled_films(films: Path, place: Path) -> PackOptions:
    """A table of films with two labels, some of them uncertain or missing."""
    chance = random.Random(0)
    with place.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "opacity", "other", "split"])
        for path in sorted(films.rglob("*.png")):
            part, name, _ = path.relative_to(films).parts
            other = chance.choices(["1", "0", "-1", ""], (3, 5, 1, 1))[0]
            table.writerow([path.relative_to(films), "01"[name == "opacity"], other, part])
    return PackOptions(
        root=str(films),
        size=32,
        task="multilabel",
        label_columns=("opacity", "other"),
        patient_column="none",
    )


def records(_films: Path, place: Path) -> PackOptions:
    phantom_records.write(place, people=200, seed=0)
    return PackOptions(
        inputs="table", patient_column="person", negative="rest", exclude=("strenuous",)
    )


def labelled_records(_films: Path, place: Path) -> PackOptions:
    phantom_records.write(place, people=200, seed=0)
    return PackOptions(
        inputs="table", task="multilabel", label_columns=("strenuous",), exclude=("exercise",),
        patient_column="person",
    )  # fmt: skip


CELLS: Mapping[str, tuple[str, Callable[[Path, Path], PackOptions]]] = {
    "films with labels": ("films", labelled_films),
    "records of a class": ("records", records),
    "records with a label": ("records", labelled_records),
}


@pytest.fixture(scope="module", params=list(CELLS))
def cell(
    request: pytest.FixtureRequest, films: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Dataset, tuple[str, ...]]:
    """A packed dataset, and the words that train on it."""
    kind, table = CELLS[request.param]
    folder = tmp_path_factory.mktemp("cell")
    options = table(films, folder / "t.csv")
    packed = packing(folder / "t.csv", folder / "packed", options)
    return packed, (f"data.uri={packed.uri}", *MODELS[kind], *WORDS)


def train(words: tuple[str, ...], runs: Path, show: Callable[[Any], None] = lambda _: None,
          listen: Any = deaf) -> RunFolder:  # fmt: skip
    config = RunConfig.load("demo", [*words, f"run.storage={runs}", "cluster.workers=1"])
    return local.run(config, show, listen)


def test_workers_share_the_same_batches(cell: tuple[Dataset, tuple[str, ...]]) -> None:
    data, _ = cell
    split, fingerprint = data.split("train"), data.manifest.fingerprint
    plan = order.plan(split.batch_rows, 50, fingerprint, 0, epoch=1)
    whole = [
        (b.rows.copy(), b.inputs.copy(), b.labels.copy())
        for b in stream.training(data, "train", plan, 0, 1)
    ]
    for rank in range(3):
        for (rows, inputs, labels), part in zip(
            whole, stream.training(data, "train", plan, rank, 3), strict=True
        ):
            assert (rows[part.share] == part.rows).all()
            np.testing.assert_array_equal(inputs[part.share], part.inputs)  # NaN equals NaN
            assert (labels[part.share] == part.labels).all()
    assert sorted(np.concatenate([rows for rows, *_ in whole]).tolist()) == list(range(split.rows))


def test_a_resumed_run_learns_what_an_undisturbed_one_does(
    cell: tuple[Dataset, tuple[str, ...]], tmp_path: Path
) -> None:
    data, words = cell
    one = train(words, tmp_path / "one")

    stop = StopRequest()

    @contextmanager
    def listening() -> Iterator[StopRequest]:
        yield stop

    with pytest.raises(SystemExit):
        train(words, tmp_path / "broken", lambda _row: stop.asked.set(), listening)
    assert len(RunFolder(str(tmp_path / "broken" / "demo")).history()) == 1
    again = train(words, tmp_path / "broken")
    assert history(tmp_path / "broken" / "demo") == history(tmp_path / "one" / "demo")
    assert weights(again) == weights(one), "to the bit"

    judged = evaluation.evaluate(one.best_model, None, "test")
    assert judged.films == data.split("test").rows
    assert judged.metrics["auroc"].value > 0.5


@pytest.mark.cluster
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_learn_what_one_does(
    cell: tuple[Dataset, tuple[str, ...]], workers: int, tmp_path: Path
) -> None:
    data, words = cell
    one = train(words, tmp_path / "one")
    ranks.train(workers, tmp_path / "more", data, *words).finish()
    rows, others = one.history(), history(tmp_path / "more" / "demo")
    assert [row["films_digest"] for row in rows] == [row["films_digest"] for row in others]
    for name, rounding in ROUNDING.items():  # which holds for an epoch; then Adam makes more of it
        assert rows[0][name] == pytest.approx(others[0][name], rel=rounding)


def weights(run: RunFolder) -> bytes:
    """The tensors of the best model, without the header that names the run's place."""
    data = Path(run.best_model).read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]
