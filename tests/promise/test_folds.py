"""A cross-validation on Ray: a sweep over folds, whose models are judged together."""

import json
from pathlib import Path

import pytest

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.pack import phantom_records
from tests.conftest import packing, rayograph


@pytest.mark.cluster
def test_a_cross_validation_is_a_sweep_whose_models_are_judged_together(tmp_path: Path) -> None:
    phantom_records.write(tmp_path / "t.csv", people=100, seed=0)
    options = PackOptions(
        inputs="table", patient_column="person", negative="rest", exclude=("strenuous",), folds=2
    )
    data = packing(tmp_path / "t.csv", tmp_path / "packed", options)
    (tmp_path / "two.yaml").write_text("sweep.searcher: grid\ndata.fold: {grid: [0, 1]}\n")
    done = rayograph(
        "sweep", "records", str(tmp_path / "two.yaml"), f"data.uri={data.uri}",
        f"run.storage={tmp_path}/runs", "train.epochs=2", "cluster.workers=2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (together,) = found["cross_validation"]
    assert set(together["folds"]) == {"0", "1"}
    assert together["mean"] == pytest.approx(sum(together["folds"].values()) / 2)
    assert "Over the folds" in storage.read(found["page"]).decode()

    judged = rayograph("evaluate", found["sweep"], "--json")
    assert judged.returncode == 0, judged.stderr
    told = json.loads(judged.stdout)
    assert (told["models"], told["epoch"]) == (2, None)
    assert told["films"] == data.split("test").rows
    assert told["metrics"]["auroc"]["value"] > 0.8
    out = tmp_path / "predicted.csv"
    done = rayograph("predict", found["sweep"], str(tmp_path / "t.csv"), str(out))
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == len((tmp_path / "t.csv").read_text().splitlines())
    refused = rayograph("evaluate", found["sweep"], "--split", "val")
    assert refused.returncode == 2
    assert "each model has another val split" in refused.stderr
