"""A run on all training films, without a validation part, from training to its page."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayograph.config import PackOptions, RunConfig
from rayograph.console import judging, predicting
from rayograph.pack import phantom
from rayograph.runs import evaluations
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing
from tests.small import SIZE, WORDS

CARD = "MODEL_CARD.md"


def test_without_validation_films_all_commands_decide_at_a_half_and_say_so(tmp_path: Path) -> None:
    films = tmp_path / "films"
    phantom.write(films, 120, seed=4, size=SIZE)
    options = PackOptions(size=SIZE, val="none", patient_pattern=phantom.PATIENT_PATTERN)
    data = packing(films, tmp_path / "packed", options)
    assert set(data.splits) == {"train", "test"}
    assert data.split("train").rows + data.split("test").rows == 120
    words = [*WORDS, f"data.uri={data.uri}", f"run.storage={tmp_path}", "train.epochs=2"]
    words += ["train.watch=[test]", "run.name=all", "checkpoint.keep=1"]
    run = local.run(RunConfig.load(None, words), lambda _row: None, deaf)
    assert not any(name.startswith("val_") for row in run.history() for name in row)
    assert set(run.checkpoints()) == {2}
    card = run.card()
    assert card is not None
    assert (card.epoch, card.temperature, card.operating_points) == (2, 1.0, None)
    assert (card.unlike, card.band, card.metrics) == (None, None, {})

    judging.evaluate(run.uri)
    found = evaluations.restored(run.uri, "test")
    assert found is not None
    assert found.metrics["accuracy"].value == pytest.approx(run.history()[-1]["test_accuracy"])
    assert (found.operating_points, found.temperature) == (None, 1)

    out = tmp_path / "new.parquet"
    predicting.predict(run.uri, str(films), str(out))
    table = pq.read_table(out)
    high = [p >= 0.5 for p in table.column("p_opacity").to_pylist()]
    assert table.column("positive").to_pylist() == high
    assert "unlike" not in table.column_names, "validation films would say what is"

    judging.report(run.uri)
    page = (Path(run.uri) / "report.html").read_text()
    assert "marks the last epoch, 2, whose weights are the model" in page
    assert "No validation split: the last epoch is the model, and its threshold is 0.5." in page
    short, whole = (Path(run.uri, place).read_text() for place in ("best/MODEL_CARD.md", CARD))
    assert "No validation films: this is the last epoch, decides at 0.5" in short
    assert "Selected on these films" not in short
    assert "Epoch 2, the last one" in whole
