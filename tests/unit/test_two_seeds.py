"""Two runs on the same films, through the command line: verdict, seeds, the gate, the looks."""

import json
from pathlib import Path

import pytest

from rayograph.config import PackOptions, RunConfig
from rayograph.errors import UserError
from rayograph.evaluate import evaluation
from rayograph.pack import phantom
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing, rayograph
from tests.unit.test_external import SMALL

OPTIONS = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """One recipe with two seeds."""
    folder = tmp_path_factory.mktemp("compare")
    phantom.write(folder / "films", 120, seed=4, size=32)
    data = packing(folder / "films", folder / "packed", OPTIONS)
    words = [f"data.uri={data.uri}", f"run.storage={folder / 'runs'}", *SMALL]
    return [
        local.run(
            RunConfig.load(None, [*words, f"run.name=seed{seed}", f"train.seed={seed}"]),
            lambda _row: None,
            deaf,
        )
        for seed in (0, 1)
    ]


def test_two_seeds_are_compared_on_the_same_films_and_held_to_what_is_required(
    runs: list[RunFolder],
) -> None:
    uris = [run.uri for run in runs]
    done = rayograph("compare", *uris, "--json", "--require", "auroc_difference_low>=0.99")
    assert done.returncode == 3, done.stderr
    assert "missed 1 of 1 required" in done.stderr
    said = json.loads(done.stdout)
    judged = [evaluation.evaluate(f"{uri}/best/model.safetensors", None, "test") for uri in uris]
    values = [each.metrics["auroc"].value for each in judged]
    assert [model["value"] for model in said["models"]] == values
    (contest,) = said["comparisons"]
    assert contest["difference"]["value"] == pytest.approx(values[1] - values[0])
    assert contest["difference"]["low"] <= values[1] - values[0] <= contest["difference"]["high"]
    assert said["seeds"] is not None
    for run in runs:
        assert len(list(Path(run.uri).glob("evaluation/looks/*.json"))) == 1


def test_a_column_to_judge_parts_by_must_be_there(runs: list[RunFolder]) -> None:
    model = f"{runs[0].uri}/best/model.safetensors"
    with pytest.raises(UserError, match="--by ward: no such column; there are sample_id"):
        evaluation.evaluate(model, None, "test", evaluation.How(by=("ward",)))
    found = evaluation.evaluate(model, None, "test", evaluation.How(by=("label",)))
    assert set(found.subgroups["label"].parts) == set(found.classes)
