"""What a report says of a result: bands, verdict, doubts, data, checklists, model card."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from rayograph.config import PackOptions
from rayograph.data import card as cards
from rayograph.data.card import DataCard, Shared, Unread
from rayograph.pack import phantom
from rayograph.report import checklist_page, datacard, facts, luck, modelcard
from rayograph.report.bands import GRID, bands, curves
from rayograph.report.checklists import checklists, guidelines
from rayograph.report.distrust import CHECKS, distrust
from rayograph.report.view import EvaluationView, RunReport
from tests.conftest import packing

SURE = {"value": 0.95, "low": 0.92, "high": 0.97}
HOSTILE = "a|b\n# <script> `x` *y* [z](http://x) \x00"


def clean(**changes: Any) -> EvaluationView:
    """An evaluation that nothing speaks against: what comes true is what is said."""
    labels = np.arange(400) % 2
    ones = np.where(labels == 1, 0.9, 0.1)
    names = ("accuracy", "auroc", "sensitivity", "specificity")
    points = ("sensitivity_at_threshold", "specificity_at_threshold")
    view = EvaluationView(
        "test", "multiclass", ("normal", "pneumonia"), 400, 400,
        dict.fromkeys((*names, *points), SURE), [[190, 10], [10, 190]], labels,
        np.stack([1 - ones, ones], axis=1), operating_points=(0.5,),
    )  # fmt: skip
    return dataclasses.replace(view, **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataCard:
    """The card of 160 phantoms, with more validation films than there are."""
    folder = tmp_path_factory.mktemp("films")
    phantom.write(folder / "films", 160, seed=0, size=32)
    options = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)
    dataset = packing(folder / "films", folder / "packed", options)
    found = cards.read(dataset.uri, None, dataset.manifest.fingerprint)
    assert isinstance(found, DataCard)
    val = dataclasses.replace(found.splits["val"], films=300)
    return dataclasses.replace(found, splits={**found.splits, "val": val})


def of(*views: EvaluationView, **changes: Any) -> RunReport:
    return dataclasses.replace(RunReport("run", {}, [], views), **changes)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.integers(1, 6))
def test_curves_are_those_of_scikit_learn(seed: int, films: int, distinct: int) -> None:
    draw = np.random.default_rng(seed)
    truth = np.concatenate(([True, False], draw.random(films) < 0.4))
    scores = draw.integers(0, 2**distinct, films + 2) / 2**distinct
    rises, precise = curves(truth, scores, np.ones((1, films + 2)))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(rises[0], np.interp(GRID, false, true), atol=1e-12)
    least = np.maximum(GRID * truth.sum() - 1e-6, 1e-6)
    found = {score: (truth & (scores >= score)).sum() for score in {*scores}}
    needed = [max(score for score, hits in found.items() if hits >= r) for r in least]
    by_hand = [truth[scores >= s].mean() for s in needed]
    np.testing.assert_allclose(precise[0], by_hand, atol=1e-12)


def test_a_band_is_wider_where_films_come_in_patients_and_absent_of_one_kind() -> None:
    draw = np.random.default_rng(0)
    truth = np.repeat(draw.random(60) < 0.5, 5)
    scores = np.repeat(draw.normal(size=60), 5) + truth
    apart = [str(i) for i in range(300)]
    width = {}
    for name, patients in (("apart", apart), ("together", [str(i // 5) for i in range(300)])):
        ((low, high),) = [one.roc for one in bands(truth[:, None], scores[:, None], patients)]
        width[name] = float((high - low).mean())
        assert (low <= high).all()
    assert width["together"] > 1.5 * width["apart"]
    none = bands(np.ones((300, 1), bool), scores[:, None], apart)[0]
    assert (none.roc, none.precision) == (None, None)
    assert bands(truth[:, None], scores[:, None], ["p"] * 300)[0].roc is None


def test_nothing_found_is_said_with_what_was_looked_for(data: DataCard) -> None:
    found = distrust(of(clean(), data=data))
    assert found.doubts == ()
    assert found.unknown == ("a part of the patients in which it does worse",)
    assert len(found.clear) + len(found.unknown) == len(CHECKS)
    blind = distrust(of(clean(), data=Unread("x", "gone")))
    assert "patients or files in two splits" in blind.unknown
    assert distrust(of()).doubts == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "val"}, "chose the epoch"),
        ({"split": "train"}, "trained on"),
        ({"metrics": {"auroc": {**SURE, "low": 0.77}}}, "interval of AUROC is 0.20"),
        ({"metrics": {}}, "AUROC is not defined"),
        ({"labels": np.zeros(400, int)}, "Not judged: normal and pneumonia"),
        ({"overlap": {"films": 3, "patients": 2, "unknown": None}}, "3 of these films"),
        ({"overlap": {"films": None, "unknown": "the data is gone"}}, "the data is gone"),
        ({"unmatched": ("the model does not know Mass",)}, "The model does not know Mass."),
        ({"checkpoints": [{"epoch": 1, "metrics": {}}]}, "Exploratory"),
        ({"operating_points": None}, "No operating point of pneumonia"),
        ({"probabilities": np.tile([0.2, 0.8], (400, 1))}, "gives pneumonia 0.80 on average"),
        ({"probabilities": np.full((400, 2), np.nan)}, "400 films have no finite score"),
    ],
)  # fmt: skip
def test_each_reason_to_distrust_is_said(
    data: DataCard, changes: dict[str, Any], said: str
) -> None:
    found = distrust(of(clean(**changes), data=data)).doubts
    assert any(said in doubt for doubt in found), found


def test_leaks_looks_folds_and_few_validation_films_are_said(data: DataCard) -> None:
    val = dataclasses.replace(data.splits["val"], films=17)
    leaky = dataclasses.replace(
        data,
        shared=(Shared("train", "test", 4, 9, 2), Shared("train", "val", 5, 5, 0)),
        splits={**data.splits, "val": val}, folds=5, fold=2, patients_known=False,
    )  # fmt: skip
    ledger = {"counted": 4, "models": 2, "looks": [], "unknown": None}
    low = {**clean().metrics, "specificity_at_threshold": {"value": 0.44, "low": 0.4, "high": 0.5}}
    told = " ".join(distrust(of(clean(metrics=low), data=leaky, findings={"looks": ledger})).doubts)
    for said in (
        "9 of the 400 test films are of patients whose other films the model was trained on.",
        "2 test files are the same as files it was trained on.",
        "looked at 4 times",
        "One fold of 5",
        "17 validation films only",
        "Patients are not known",
        "specificity is only 44.0\u202f% here",
    ):
        assert said in told
    assert "selected by" not in told


def test_a_card_tells_leaks_copies_and_what_cannot_be_read(tmp_path: Path) -> None:
    source = tmp_path / "films"
    phantom.write(source, 60, seed=0, size=32)
    one = min(source.glob("train/*/*.png"))
    copy = source / "test" / one.parent.name / f"{one.stem}x.png"
    copy.write_bytes(one.read_bytes())
    dataset = packing(source, tmp_path / "d", PackOptions(size=32, patient_pattern=r"(p\d+)_"))
    found = cards.read(dataset.uri, None, dataset.manifest.fingerprint)
    assert isinstance(found, DataCard)
    leak = next(each for each in found.shared if (each.first, each.second) == ("train", "test"))
    assert (leak.files, leak.films) == (1, 1)
    assert sum(split.films for split in found.splits.values()) == 61
    assert all(len(row) == 1 + len(found.splits) for row in datacard.rows(found))
    told = " ".join(datacard.told(found))
    assert "and 1 identical file: 1 test film is theirs" in told
    other = cards.read(dataset.uri, None, "another")
    assert isinstance(other, Unread)
    gone = cards.read(str(tmp_path / "nowhere"), None, "x")
    assert isinstance(gone, Unread)
    assert "no packed dataset" in gone.reason


def test_checklists_are_whole_and_count_what_is_open(data: DataCard) -> None:
    named = {item["fact"] for each in guidelines() for item in each["items"] if "fact" in item}
    assert named == {*facts.FACTS}
    claim, tripod, stard = guidelines()
    assert [item["id"] for item in claim["items"]] == [*range(1, 45)]
    assert [item["id"] for item in tripod["items"]] == [*range(1, 28)]
    assert not any("id" in item for item in stard["items"])
    empty, full = checklists(of()), checklists(of(clean(), data=data))
    for before, after in zip(empty, full, strict=True):
        assert before.counts["open"] == len(before.items)
        assert sum(after.counts.values()) == len(after.items)
        assert after.counts["open"] < before.counts["open"]
    page = checklist_page.page(of(clean(), data=data))
    assert full[0].counted in page
    assert page.count("\n| ") == sum(len(each.items) for each in full) + 6  # heads and rules
    external = checklists(of(clean(), findings={"external": {}}))[0].items[32]
    assert external.state == "filled"


def test_model_card_is_a_card_also_with_hostile_names(data: DataCard) -> None:
    view = clean(classes=("normal", HOSTILE))
    text = modelcard.card(of(view, name=HOSTILE, data=data))
    assert "AUROC | 0.950 | 0.920–0.970" in text
    assert "Not for clinical use" in text
    assert "<script>" not in text
    assert text.startswith("# a\\|b \\# \\<script\\>")
    wide = {
        line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")
    }
    assert wide <= {4, 5, len(data.splits) + 2}
    assert "Not evaluated" in modelcard.card(of())


def test_luck_of_the_best_checkpoint_is_put_in_words() -> None:
    found = {"metric": "auroc", "chosen_epoch": 2, "best_epoch": 5, "lead": 0.02,
             "expected_by_luck": 0.015, "p": 0.3, "all_luck": True}  # fmt: skip
    told = luck.sentence(clean(selection=found))
    assert "epoch 5 is 0.020 better than epoch 2" in told
    assert "75\u202f% of the lead" in told
    assert told.endswith("chance explains the lead.")
    assert "none is better than epoch 2" in luck.sentence(clean(selection={**found, "lead": 0.0}))
    assert "cannot be told" in luck.sentence(clean(selection={**found, "p": None}))
    assert luck.sentence(clean()) == ""
