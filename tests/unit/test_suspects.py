"""Labels that may be wrong: the score, and that planted ones are ranked first."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from scipy.stats import entropy

from rayograph import storage
from rayograph import task as tasks
from rayograph.config import PackOptions, RunConfig, SweepConfig
from rayograph.data.dataset import Dataset
from rayograph.evaluate import suspects
from rayograph.evaluate.adjusted import adjusted
from rayograph.pack import phantom_records
from rayograph.report.suspects import PAGE
from rayograph.runs.folder import RunFolder
from rayograph.search import space as spaces
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Trial, name_of
from rayograph.task import Labels
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing, rayograph

FOLDS = 3
OPTIONS = PackOptions(
    inputs="table", patient_column="person", negative="rest", exclude=("strenuous",), folds=FOLDS
)
TRAINED = ("model.name=mlp", "model.hidden=[16]", "train.epochs=4", "cluster.workers=1")
PROBABILITIES = arrays(float, (5, 3), elements=st.floats(0.01, 1))


def planted(place: Path) -> set[str]:
    """Records of which 5 % have another label than they should; the ids of these."""
    phantom_records.write(place, people=200, seed=0)
    rows = list(csv.DictReader(place.open()))
    classes = sorted({row["exercise"] for row in rows})
    chance = random.Random(0)
    wrong = {*chance.sample(range(len(rows)), len(rows) // 20)}
    for i in wrong:
        rows[i]["exercise"] = chance.choice([c for c in classes if c != rows[i]["exercise"]])
    with place.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return {str(i + 1) for i in wrong}


def sweep(data: Dataset, runs: Path) -> SweepFolder:
    """A cross-validation as `rayograph sweep` leaves it, trained in this process."""
    space = spaces.Space("folds", {}, [])
    words = [f"data.uri={data.uri}", f"run.storage={runs}", "run.name=cv", *TRAINED]
    config = SweepConfig.load("records", words)
    folder = SweepFolder.of(config, space)
    folder.begin(config, space)
    ledger = folder.ledger(config)
    for fold in range(FOLDS):
        name = name_of(fold)
        trial = Trial(number=fold, params={"data.fold": fold}, run=name, epochs=4)
        own = [*words[:1], f"run.storage={folder.trials}", f"run.name={name}", *TRAINED]
        local.run(RunConfig.load("records", [*own, f"data.fold={fold}"]), lambda _row: None, deaf)
        trial.review(folder.rows(trial), config.train, 1)
        trial.state = "finished"
        ledger.trials[fold] = trial
    ledger.touch()
    ledger.save(now=True)
    return folder


@pytest.fixture(scope="module")
def planted_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepFolder, set[str]]:
    place = tmp_path_factory.mktemp("planted")
    wrong = planted(place / "t.csv")
    data = packing(place / "t.csv", place / "packed", OPTIONS)
    return sweep(data, place / "runs"), wrong


def test_planted_labels_are_ranked_first_by_models_of_other_folds(
    planted_sweep: tuple[SweepFolder, set[str]], tmp_path: Path
) -> None:
    folder, wrong = planted_sweep
    out = tmp_path / "ranked.parquet"
    done = rayograph("suspects", folder.uri, "--count", "5", "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    ranked = pq.read_table(out)
    assert told["suspects"] == ranked.slice(0, 5).to_pylist()
    assert (told["models"], told["not_ranked"]) == (FOLDS, ["test"])
    data = Dataset.open(told["dataset"])
    rows = sum(part.rows for name, part in data.manifest.parts.items() if name != "test")
    assert told["ranked"] == len({*ranked.column("sample_id").to_pylist()}) == rows
    hits = [name in wrong for name in ranked.column("sample_id").to_pylist()]
    total = sum(hits)
    assert sum(hits[:total]) > 0.6 * total, "by chance it were 5 %"
    page = storage.read(storage.join(folder.uri, PAGE)).decode()
    assert "3 models, each on the fold that it was not trained on" in page
    assert told["suspects"][0]["sample_id"] in page


def test_of_one_run_validation_and_test_records_are_ranked_and_a_look_counts(
    planted_sweep: tuple[SweepFolder, set[str]],
) -> None:
    folder, _ = planted_sweep
    run = RunFolder(storage.join(folder.trials, name_of(0)))
    found = suspects.of_run(run.best_model, run.uri)
    parts = {*found.table.column("part").to_pylist()}
    assert parts == {"fold-0", "test"}
    assert found.not_ranked == ["fold-1", "fold-2"]
    looks = list(storage.listing(storage.join(run.uri, "evaluation", "looks")))
    assert len(looks) == 1
    scores = found.table.column("score").to_numpy()
    assert (np.diff(scores) <= 0).all()


@given(PROBABILITIES, st.data())
def test_a_score_is_cross_entropy_less_entropy(drawn: np.ndarray, data: st.DataObject) -> None:
    classes = tasks.of("multiclass", ("a", "b", "c"))
    p = drawn / drawn.sum(axis=1, keepdims=True)
    truth = data.draw(arrays(int, 5, elements=st.integers(0, 2)))
    labels: Labels = np.eye(3, dtype=np.int8)[truth]
    want = -np.log(p[np.arange(5), truth]) - entropy(p, axis=1)
    np.testing.assert_allclose(suspects.scores(classes, labels, p)[:, 0], want, atol=1e-12)
    even = np.full((5, 3), 1 / 3)
    np.testing.assert_allclose(suspects.scores(classes, labels, even), 0, atol=1e-12)
    several = tasks.of("multilabel", ("a", "b", "c"))
    states = data.draw(arrays(np.int8, (5, 3), elements=st.integers(-2, 1)))
    score = suspects.scores(several, states, np.minimum(drawn, 0.99))
    assert (np.isnan(score) == (states < 0)).all(), "what is not known has no score"
    given_p = np.where(states == 1, np.minimum(drawn, 0.99), 1 - np.minimum(drawn, 0.99))
    clear = (states >= 0) & (abs(given_p - 0.5) > 1e-9)
    assert ((score > 0) == (given_p < 0.5))[clear].all()


def test_what_class_weights_do_to_probabilities_is_undone() -> None:
    draw = np.random.default_rng(0)
    truth = draw.random(4000) < 0.25
    odds = draw.normal(np.where(truth, 1, -1), 1)  # the shift of the true log-odds is log(1/3)
    logits = 3 * np.stack([np.zeros(4000), 2 * odds + 2], axis=1)
    for task, values, labels in (
        (tasks.of("multiclass", ("a", "b")), logits, np.stack([~truth, truth], axis=1)),
        (tasks.of("multilabel", ("b",)), logits[:, 1:], truth[:, None]),
    ):
        p = adjusted(task, labels.astype(np.int8), values)[:, -1]
        exact = expit(2 * odds - np.log(3))
        assert abs(p - exact).max() < 0.05
        assert abs(task.probabilities(values)[:, -1] - exact).max() > 0.5
    nothing = np.zeros((4, 1), np.int8)
    several = tasks.of("multilabel", ("b",))
    same = adjusted(several, nothing, logits[:4, 1:])
    np.testing.assert_allclose(same, several.probabilities(logits[:4, 1:]))
