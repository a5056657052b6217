"""Two runs on the same films, through the command line: verdict, seeds, the gate, the looks."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from rayograph.config import PackOptions, RunConfig, SourceOptions
from rayograph.errors import UserError
from rayograph.evaluate import ensemble, evaluation
from rayograph.evaluate.predict.parts import predict
from rayograph.pack import phantom
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import unlabelled
from rayograph.runs import card as cards
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
    for film in (folder / "films" / "train").glob("*/p00000_1.png"):  # a patient of two splits
        again = folder / "films" / "test" / film.parent.name / "p00000_4.png"
        again.write_bytes(film.read_bytes())
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


def test_two_seeds_judge_together_by_their_mean_probability(
    runs: list[RunFolder], tmp_path: Path
) -> None:
    first, second = (run.uri for run in runs)
    kept = Path(first, "evaluation", "test", "metrics.json")
    before = kept.read_bytes() if kept.exists() else None
    looks = len(list(Path(first).glob("evaluation/looks/*.json")))
    done = rayograph("evaluate", first, "--with", second, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    judged = [
        evaluation.evaluate(f"{uri}/best/model.safetensors", None, "test")
        for uri in (first, second)
    ]
    truth = judged[0].arrays()[0].argmax(axis=1)
    mean = np.mean([softmax(each.arrays()[1], axis=1)[:, 1] for each in judged], axis=0)
    assert said["models"] == 2
    assert said["metrics"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, mean))
    assert (kept.read_bytes() if kept.exists() else None) == before
    assert len(list(Path(first).glob("evaluation/looks/*.json"))) == looks + 1

    films = str(Path(first).parents[1] / "films" / "test")
    out = str(tmp_path / "both.parquet")
    done = rayograph("predict", first, films, out, "--with", second)
    assert done.returncode == 0, done.stderr
    both, models = pq.read_table(out), [f"{uri}/best/model.safetensors" for uri in (first, second)]
    originals = unlabelled(films, cards.read(models[0]).recipe, SourceOptions())
    alone = [predict(model, originals, one_by_one) for model in models]
    columns = [name for name in both.column_names if name.startswith("p_") or name == "distance"]
    assert columns
    for column in columns:
        mean = np.mean([np.array(table.column(column)) for table in alone], axis=0)
        assert np.allclose(np.array(both.column(column)), mean, atol=1e-9)
    refused = rayograph("predict", first, films, str(tmp_path / "t.csv"), "--with", f"{first}/best")
    assert refused.returncode == 2
    assert "it would count twice" in refused.stderr


def test_models_of_two_datasets_do_not_judge_together(runs: list[RunFolder]) -> None:
    known = [cards.read(run.best_model) for run in runs]
    assert ensemble.card(known, ["a", "b"]).fingerprint == known[0].fingerprint
    known[1] = known[1].model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(UserError, match=r"b: was trained on .* seeds or folds of one dataset"):
        ensemble.card(known, ["a", "b"])


def test_a_column_to_judge_parts_by_must_be_there(runs: list[RunFolder]) -> None:
    model = f"{runs[0].uri}/best/model.safetensors"
    with pytest.raises(UserError, match="--by ward: no such column; there are sample_id"):
        evaluation.evaluate(model, None, "test", evaluation.How(by=("ward",)))
    found = evaluation.evaluate(model, None, "test", evaluation.How(by=("label",)))
    assert set(found.subgroups["label"].parts) == set(found.classes)
    known = found.subgroups["patient_in_training"].parts
    assert {name: part.films for name, part in known.items()} == {"no": found.films - 1, "yes": 1}
