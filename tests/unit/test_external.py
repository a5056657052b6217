"""Films of elsewhere: packed to judge models by, judged, and what the model knew of them before."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from rayograph.config import PackOptions, RunConfig
from rayograph.console import tables
from rayograph.data import dataset, inspection
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate import evaluation
from rayograph.pack import phantom
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.checks import check_run
from rayograph.train.stops import deaf
from tests.conftest import packing

JUDGED = PackOptions(size=32, split="test", patient_pattern=phantom.PATIENT_PATTERN)
SMALL = (
    "data.image_size=32",
    "model.width=4",
    "model.depth=2",
    "train.epochs=1",
    "train.batch_size=28",
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    phantom.write(folder, 120, seed=4, size=32)
    return folder


@pytest.fixture(scope="module")
def own(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """What the model is trained on."""
    options = JUDGED.model_copy(update={"split": "source"})
    return packing(films, tmp_path_factory.mktemp("packed") / "own", options)


@pytest.fixture(scope="module")
def run(own: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("runs")
    words = [f"data.uri={own.uri}", f"run.storage={place}", *SMALL]
    return local.run(RunConfig.load(None, words), lambda _row: None, deaf)


def copied(films: Iterable[Path], folder: Path, **names: str) -> Path:
    """Films in class folders of these names."""
    for path in films:
        place = folder / names.get(path.parent.name, path.parent.name)
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / path.name)
    return folder


def test_films_of_one_class_are_packed_to_judge_models_by_and_not_to_train_on(
    films: Path, tmp_path: Path
) -> None:
    few = sorted(films.glob("train/opacity/*.png"))[:5]
    with pytest.raises(UserError, match=r"only the class opacity; .*: pack\.split=test"):
        packing(copied(few, tmp_path / "films"), tmp_path / "d", PackOptions(size=32))
    found = packing(tmp_path / "films", tmp_path / "d", JUDGED)
    assert found.manifest.classes == ("opacity",)
    assert found.manifest.findings == (), "of films that are judged, no other split is missing"
    assert (tmp_path / "d" / dataset.CONTACT_SHEET).exists()
    assert "opacity" in tables.dataset(inspection.summary(found))
    config = RunConfig.load(None, [f"data.uri={found.uri}", *SMALL])
    with pytest.raises(UserError, match="it has test, so that models can be judged by it and not"):
        check_run(config, found)


def test_whatever_split_a_table_fixes_all_its_films_are_test_films(
    films: Path, tmp_path: Path
) -> None:
    rows = [
        f"{path},{label},{path.name[:6]},{split}"
        for label, split in (("b", "site 2"), ("a", "train"), ("10", ""), ("9", "val"))
        for path in sorted(films.glob("train/*/*.png"))[len(label) + len(split) :][:1]
    ]
    (tmp_path / "t.csv").write_text("path,label,who,split\n" + "\n".join(rows))
    options = PackOptions(size=32, split="test", patient_column="who")
    found = packing(tmp_path / "t.csv", tmp_path / "d", options)
    assert found.split("test").rows == 4
    assert found.manifest.classes == ("9", "10", "a", "b"), "none is guessed to be negative"
    (tmp_path / "films/test/ill").mkdir(parents=True)
    shutil.copy(rows[0].split(",")[0], tmp_path / "films/test/ill/a.png")
    shutil.copytree(tmp_path / "films/test/ill", tmp_path / "films/test/normal")
    with pytest.raises(UserError, match=r"no training films; it has test; .*: pack\.split=test"):
        packing(tmp_path / "films", tmp_path / "e", PackOptions(size=32))


def test_classes_are_matched_by_name_in_whatever_spelling_and_order(
    run: RunFolder, own: Dataset, films: Path, tmp_path: Path
) -> None:
    names = {"normal": "NORMAL ", "opacity": "Opacity"}
    labels = "\n".join(
        f"{path},{names[path.parent.name]},{path.name.split('_')[0]}"
        for path in films.glob("test/*/*.png")
    )
    (tmp_path / "t.csv").write_text(f"path,label,who\n{labels}\n{films}/no.png,odd,p\n")
    options = PackOptions(size=32, split="test", patient_column="who")
    other = packing(tmp_path / "t.csv", tmp_path / "d", options)
    assert other.manifest.classes == ("NORMAL ", "Opacity", "odd"), "odd has no film"
    first = evaluation.evaluate(run.best_model, None, "test")
    found = evaluation.evaluate(run.best_model, other.uri, "test")
    assert found.classes == first.classes == ("normal", "opacity")
    assert np.sum(found.confusion) == own.split("test").rows
    assert found.confusion == first.confusion
    assert found.metrics["auroc"].value == pytest.approx(first.metrics["auroc"].value, abs=1e-6)


def test_a_set_of_one_class_is_judged_by_what_it_can_say(
    run: RunFolder, films: Path, tmp_path: Path
) -> None:
    ill = films.glob("test/opacity/*.png")
    other = packing(copied(ill, tmp_path / "films"), tmp_path / "d", JUDGED)
    found = evaluation.evaluate(run.best_model, other.uri, "test")
    metrics = json.loads(json.dumps(found.to_json()))["metrics"]
    assert metrics["sensitivity"] == metrics["accuracy"], "all films are ill"
    assert metrics["sensitivity"]["low"] < metrics["sensitivity"]["high"]
    nothing = {"value": None, "low": None, "high": None}
    assert metrics["specificity"] == metrics["auroc"] == metrics["average_precision"] == nothing
    assert found.confusion[0] == [0, 0]
    assert "undefined" in tables.evaluation(found)


def test_a_class_that_the_model_does_not_know_is_named(
    run: RunFolder, films: Path, tmp_path: Path
) -> None:
    source = copied(films.glob("test/*/*.png"), tmp_path / "films", opacity="tuberculosis")
    other = packing(source, tmp_path / "d", JUDGED)
    told = r"the model does not know tuberculosis, which test films are; it knows normal, opacity"
    with pytest.raises(UserError, match=told):
        evaluation.evaluate(run.best_model, other.uri, "test")


def test_films_that_the_model_was_trained_on_are_counted_before_the_table(
    run: RunFolder, own: Dataset, films: Path, tmp_path: Path
) -> None:
    trained = sorted(films.glob("train/*/*.png"))[::9] + sorted(films.glob("val/*/*.png"))[:2]
    unseen = sorted(films.glob("test/*/*.png"))[:9]
    patients = {path.name.split("_")[0] for path in trained}
    source = copied([*trained, *unseen], tmp_path / "films")
    other = packing(source, tmp_path / "d", JUDGED)
    found = evaluation.evaluate(run.best_model, other.uri, "test")
    count = len(trained)
    assert found.to_json()["overlap"] == {
        "films": count, "patients": len(patients), "unknown": None,
    }  # fmt: skip
    text = tables.evaluation(found)
    told = text.index(f"{count} of {count + 9} films are among those that the model was trained on")
    assert told < text.index("AUROC")
    assert f"{len(patients)} of {found.patients} patients" in text
    nameless = packing(source, tmp_path / "e", PackOptions(size=32, split="test"))
    overlap = evaluation.evaluate(run.best_model, nameless.uri, "test").overlap
    assert overlap is not None
    assert (overlap.films, overlap.patients) == (count, None), "file names are no ids"


def test_films_of_its_own_dataset_are_told_but_for_the_test_films(
    run: RunFolder, own: Dataset
) -> None:
    judged = {split: evaluation.evaluate(run.best_model, None, split) for split in ("val", "test")}
    assert judged["test"].overlap is None
    assert "caution" not in tables.evaluation(judged["test"])
    assert judged["val"].to_json()["overlap"]["films"] == own.split("val").rows
    assert "the best epoch was chosen by these films" in tables.evaluation(judged["val"])


def test_what_cannot_be_checked_is_said(
    run: RunFolder, own: Dataset, films: Path, tmp_path: Path
) -> None:
    other = packing(copied(films.glob("test/*/*.png"), tmp_path / "f"), tmp_path / "d", JUDGED)
    place, moved = Path(own.uri), tmp_path / "moved"
    place.rename(moved)
    try:
        found = evaluation.evaluate(run.best_model, other.uri, "test")
        assert found.overlap is not None
        assert found.overlap.films is None
        said = tables.evaluation(found)
        assert "not checked whether the model was trained on some of these films" in said
        assert f"is not at {own.uri}" in said
        again = evaluation.evaluate(run.best_model, str(moved), "test")
        assert again.overlap is None, "the same dataset at another place"
        with pytest.raises(UserError, match=r"say where it is now .*--data"):
            evaluation.evaluate(run.best_model, None, "test")
        shutil.copytree(tmp_path / "d", place)
        found = evaluation.evaluate(run.best_model, other.uri, "test")
        assert "there is now another dataset" in tables.evaluation(found)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        moved.rename(place)
