"""A run's temperature and operating points, from validation to what a user is told."""

from pathlib import Path

import pytest
import torch

from rayograph.config import PredictConfig
from rayograph.console import judging
from rayograph.errors import UserError
from rayograph.evaluate import evaluation, export, graphs
from rayograph.evaluate.evaluation import How
from rayograph.evaluate.model import load
from rayograph.evaluate.predict.parts import predict
from rayograph.models import files
from rayograph.pack import sources
from rayograph.pack.mapper import one_by_one
from rayograph.runs import card as cards
from rayograph.runs.evaluations import restored
from rayograph.runs.folder import RunFolder
from tests.small import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("deciding")
    return trained(place, "train.operating_point=sensitivity=0.9", films=400)


def test_a_run_keeps_the_rule_and_what_validation_says_of_it(run: RunFolder) -> None:
    card = cards.read(run.best_model)
    assert card.operating_rule == "sensitivity=0.9"
    assert "is the highest of sensitivity 0.9 or more" in cards.page(card)
    found = evaluation.evaluate(run.best_model, None, "val")
    row = run.history()[card.epoch - 1]
    assert found.calibration is not None
    for name in ("loss", "brier", "ece"):
        assert found.calibration["before"][name] == pytest.approx(row[f"val_{name}"], abs=1e-5)
        assert found.metrics[name].value == found.calibration["after"][name]
    assert found.calibration["after"]["loss"] <= found.calibration["before"]["loss"] + 1e-6
    assert found.metrics["sensitivity_at_threshold"].value >= 0.9
    assert found.metrics["ece"].low is None


def test_a_user_chooses_another_point_and_the_report_says_how_it_travels(run: RunFolder) -> None:
    judging.evaluate(run.uri, point="specificity=0.9", prevalence=[0.05])
    kept = restored(run.uri, "test")
    assert kept is not None
    assert kept.operating_rule == "specificity=0.9"
    (name,) = kept.chosen_on
    assert kept.chosen_on[name]["specificity"]["value"] >= 0.9
    assert kept.predictive[name][0]["prevalence"] == 0.05
    judging.report(run.uri)
    page = (Path(run.uri) / "report.html").read_text()
    assert "How the threshold travels" in page
    assert "Predictive values" in page


def test_every_way_to_a_probability_is_calibrated(run: RunFolder, tmp_path: Path) -> None:
    """A temperature of 3, which no probability of `evaluate`, `predict` and `export` may miss."""
    model = load(run.best_model, torch.device("cpu"))
    card = model.card.model_copy(update={"temperature": 3.0, "unlike": None})
    place = tmp_path / "warm.safetensors"
    place.write_bytes(files.write(model.network.state_dict(), card.metadata()))
    plain, warm = (
        evaluation.evaluate(str(uri), None, "test").arrays()[1] for uri in (run.best_model, place)
    )
    assert warm == pytest.approx(plain * model.card.temperature / 3, abs=1e-5)
    films = Path(run.uri).parent / "films"
    recipe = model.card.recipe
    originals = sources.unlabelled(str(films), recipe, PredictConfig().pack)
    rows = predict(str(place), originals, one_by_one).to_pylist()
    said = {Path(row["source"]).name: row[f"p_{model.task.classes[1]}"] for row in rows}
    test = evaluation.evaluate(str(place), None, "test")
    names = [Path(uri).name for uri in test.predictions.column("source").to_pylist()]
    wanted = model.task.probabilities(warm)[:, 1]
    assert [said[name] for name in names] == pytest.approx(wanted.tolist(), abs=1e-5)
    told = export.export(str(place), str(tmp_path / "m.pt2"), graphs.KINDS["torch"], None)
    assert told.difference < 1e-4


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (How(point="best"), "no rule; write youden"),
        (How(prevalences=(2,)), "a share above 0 and below 1"),
    ],
)
def test_what_cannot_be_chosen_is_said(run: RunFolder, how: How, told: str) -> None:
    with pytest.raises(UserError, match=told):
        evaluation.evaluate(run.best_model, None, "test", how)
