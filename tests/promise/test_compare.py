"""`compare` and `--require`, through the real command: two tiny runs that differ in their seed."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate.same import aligned
from rayograph.runs.evaluations import Evaluation
from tests import ranks
from tests.conftest import rayograph


@pytest.fixture(scope="module")
def runs(packed: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        own = (f"run.name=seed{seed}", f"train.seed={seed}", "train.epochs=1")
        ranks.train(1, folder, packed, *own, "checkpoint.keep=all").finish()
    return str(folder / "seed0"), str(folder / "seed1")


def looks(run: str) -> int:
    return len(list((Path(run) / "evaluation" / "looks").iterdir()))


@pytest.mark.cluster
def test_two_runs_are_compared_and_what_they_keep_is_taken(
    runs: tuple[str, str], packed: Dataset
) -> None:
    found = json.loads(rayograph("compare", *runs, "--json").stdout)
    assert found["films"] == packed.split("test").rows
    first, second = (model["value"] for model in found["models"])
    (row,) = found["comparisons"]
    assert row["difference"]["value"] == pytest.approx(second - first)
    assert row["difference"]["low"] <= row["difference"]["value"] <= row["difference"]["high"]
    assert row["delong"]["value"] == pytest.approx(second - first)
    assert row["p_holm"] == row["p"]
    assert row["verdict"].split()[0] in ("no", "seed1")
    assert found["seeds"]["mean"]["value"] == pytest.approx((first + second) / 2)
    assert [looks(run) for run in runs] == [1, 1]
    kept = Path(runs[0]) / "evaluation" / "test" / "predictions.parquet"
    written = kept.stat().st_mtime_ns
    text = rayograph("compare", *runs).stdout
    assert row["verdict"] in text
    assert "one recipe with 2 seeds" in text
    assert kept.stat().st_mtime_ns == written
    assert [looks(run) for run in runs] == [2, 2]


@pytest.mark.cluster
def test_a_result_that_misses_what_was_required_is_status_3(runs: tuple[str, str]) -> None:
    done = rayograph("compare", *runs, "--require", "auroc_difference>=-1 p_holm<=0", "--json")
    assert done.returncode == 3
    assert [each["met"] for each in json.loads(done.stdout)["required"]] == [True, False]
    assert "missed 1 of 2 required: seed1: p_holm<=0.0, found" in done.stderr
    judged = ("evaluate", runs[0], "--require")
    assert rayograph(*judged, "auroc_high>=0 loss<=100").returncode == 0
    missed = rayograph(*judged, "loss<=0 hamming_accuracy>=0")
    assert missed.returncode == 3
    assert "loss<=0.0, found" in missed.stderr
    assert "hamming_accuracy>=0.0, found undefined" in missed.stderr
    mistaken = rayograph(*judged, "auroc_lo>=0.9")
    assert mistaken.returncode == 2
    assert "did you mean auroc_low?" in mistaken.stderr


@pytest.mark.cluster
def test_all_checkpoints_say_that_they_explore(runs: tuple[str, str]) -> None:
    words = ("evaluate", runs[0], "--all-checkpoints")
    found = json.loads(rayograph(*words, "--json").stdout)["selection"]
    assert found["exploratory"] is True
    assert (found["chosen_epoch"], found["best_epoch"], found["lead"]) == (1, 1, 0.0)
    assert "exploratory: every checkpoint" in rayograph(*words).stdout


@pytest.mark.parametrize(
    ("column", "changed", "message"),
    [
        ("sample_id", "another", "the one has 1 that the other has not, and lacks 1"),
        ("patient_id", "somebody", "1 of 3 films have other patients, such as b"),
        ("labels", [0, 1], "1 of 3 films have other labels, such as b"),
        (None, None, None),
    ],
)
def test_other_samples_are_refused_and_their_order_does_not_matter(
    column: str | None, changed: object, message: str | None
) -> None:
    rows = [
        {"sample_id": name, "patient_id": name, "labels": [1, 0], "logits": [0.5, place]}
        for place, name in enumerate("abc")
    ]
    other = [dict(row) for row in reversed(rows)]
    if column is not None:
        other[1][column] = changed
    both = [evaluation(rows), evaluation(other)]
    if message is None:
        ids, _, _, logits = aligned(["old", "new"], both)
        assert ids == ["a", "b", "c"]
        assert (logits[0] == logits[1]).all()
    else:
        with pytest.raises(UserError, match=message):
            aligned(["old", "new"], both)


def evaluation(rows: list[dict[str, Any]]) -> Evaluation:
    return Evaluation(
        split="test", films=3, patients=3, task="multiclass", classes=("no", "yes"), metrics={},
        labels={}, confusion=[], operating_points=None, model="m", epoch=1, dataset="d",
        fingerprint="f", trained_on="f", predictions=pa.Table.from_pylist(rows),
    )  # fmt: skip


@pytest.mark.cluster
def test_one_alone_is_refused(runs: tuple[str, str]) -> None:
    alone = rayograph("compare", runs[0])
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "give two or more to compare" in alone.stderr
