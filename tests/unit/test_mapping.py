"""Classes of another dataset as the user maps them, and the external test by the command line."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rayograph import task as tasks
from rayograph.config import PackOptions
from rayograph.console import externals, judging, tables
from rayograph.errors import UserError
from rayograph.evaluate import evaluation, external, mapping
from rayograph.pack import phantom
from rayograph.runs.folder import RunFolder
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN
from tests.conftest import packing, rayograph
from tests.small import trained

CLASSES = tasks.of("multiclass", ("normal", "pneumonia"))
LABELS = tasks.of("multilabel", ("mass", "opacity"))


def dataset(*classes: str) -> Any:
    return SimpleNamespace(uri="d", manifest=SimpleNamespace(classes=classes))


def states(*places: int, of: int) -> Any:
    return np.eye(of, dtype=np.int8)[list(places)]


def test_what_is_asked_is_read_as_it_is_written() -> None:
    asked = ["normal=Normal", "pneumonia=[Bacterial, Viral]", "a b='x,y'", "no=no", "1=1"]
    assert mapping.parse(asked) == {
        "normal": ("Normal",), "pneumonia": ("Bacterial", "Viral"), "a b": ("x,y",),
        "no": ("no",), "1": ("1",),
    }  # fmt: skip


@pytest.mark.parametrize("word", ["normal", "=x", "a=", "a=[]", "a=[b", "a={b: c}", "a=[[b]]"])
def test_what_is_no_mapping_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=r"--map takes CLASS=THEIRS or CLASS=\[THEIRS,THEIRS\]"):
        mapping.parse([word])


def test_classes_are_joined_and_films_of_others_are_left_out_and_counted() -> None:
    theirs = dataset("Bacterial", "Normal", "Viral", "odd")
    films = states(0, 1, 2, 3, 3, of=4)
    asked = mapping.parse(["pneumonia=[bacterial,Viral]"])
    found = mapping.truth(CLASSES, theirs, "test", films, asked)
    assert found.judged.tolist() == [True, True, True, False, False]
    assert found.labels[found.judged].argmax(axis=1).tolist() == [1, 0, 1], "Normal by its name"
    assert found.left_out == {"odd": 2}
    assert found.mapping == {"pneumonia": ("Bacterial", "Viral")}
    with pytest.raises(UserError, match="the model does not know Bacterial, Viral, odd"):
        mapping.truth(CLASSES, theirs, "test", films, {})


def test_what_is_mapped_comes_before_what_has_the_same_name() -> None:
    theirs = dataset("normal", "pneumonia", "healthy")
    asked = mapping.parse(["normal=healthy"])
    found = mapping.truth(CLASSES, theirs, "test", states(0, 1, 2, of=3), asked)
    assert found.judged.tolist() == [False, True, True]
    assert found.left_out == {"normal": 1}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pneumonai=Viral"], "the model has no class pneumonai; did you mean pneumonia"),
        (["pneumonia=Viraal"], "d has no class Viraal; did you mean Viral"),
        (["pneumonia=xyz"], "d has no class xyz; there are Bacterial, Normal, Viral"),
        (["normal=Viral", "pneumonia=[Viral,Bacterial]"], "Viral is mapped twice"),
        (["normal=Viral", "normal=Normal"], "given twice"),
        (["normal=Viral", "Normal=Normal"], "given twice"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(words: list[str], told: str) -> None:
    theirs = dataset("Bacterial", "Normal", "Viral")
    with pytest.raises(UserError, match=told):
        mapping.truth(CLASSES, theirs, "test", states(0, 1, of=3), mapping.parse(words))


def test_of_labels_joined_what_is_not_known_may_still_be_present() -> None:
    theirs = dataset("consolidation", "edema", "mass", "fracture")
    rows = [
        (PRESENT, ABSENT), (PRESENT, MISSING), (UNCERTAIN, ABSENT), (UNCERTAIN, MISSING),
        (ABSENT, MISSING), (ABSENT, ABSENT), (MISSING, MISSING),
    ]  # fmt: skip
    films = np.array([(*row, PRESENT, ABSENT) for row in rows], np.int8)
    asked = mapping.parse(["opacity=[consolidation,edema]"])
    found = mapping.truth(LABELS, theirs, "test", films, asked)
    assert found.judged.all()
    assert found.labels[:, 0].tolist() == [PRESENT] * 7, "mass by its name"
    assert found.labels[:, 1].tolist() == [
        PRESENT, PRESENT, UNCERTAIN, UNCERTAIN, MISSING, ABSENT, MISSING,
    ]  # fmt: skip
    assert mapping.unmatched(LABELS, theirs, asked) == ("the model does not know fracture",)
    assert mapping.unmatched(LABELS, theirs, {}) == (
        "the model does not know consolidation, edema, fracture",
        "the dataset says nothing of opacity",
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("mapped"), "run.name=run")


@pytest.fixture(scope="module")
def elsewhere(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Other phantoms, their ill ones in two classes, and some of a third."""
    folder = tmp_path_factory.mktemp("elsewhere")
    phantom.write(folder / "drawn", 90, seed=11, size=32)
    for place, film in enumerate(sorted((folder / "drawn").glob("*/*/*.png"))):
        ill = film.parent.name != "normal"
        name = "odd" if place % 9 == 0 else ("Bacterial", "Viral")[place % 2] if ill else "Healthy"
        (folder / "films" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(film, folder / "films" / name)
    options = PackOptions(size=32, split="test", patient_pattern=phantom.PATIENT_PATTERN)
    return packing(folder / "films", folder / "other", options).uri


def test_an_external_test_says_what_is_lost_and_stands_in_the_report(
    run: RunFolder, elsewhere: str
) -> None:
    maps = ("--map", "normal=Healthy", "--map", "opacity=[Bacterial,Viral]")
    done = rayograph("evaluate", run.uri, "--data", elsewhere, *maps, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    other = packed_labels(elsewhere)
    assert found["left_out"] == {"odd": other.count("odd")}
    assert found["films"] == len(other) - other.count("odd")
    assert np.sum(found["confusion"], axis=1).tolist() == [
        other.count("Healthy"), other.count("Bacterial") + other.count("Viral"),
    ]  # fmt: skip
    told = found["external"]
    kept = json.loads((Path(run.uri) / "evaluation/test/metrics.json").read_text())["metrics"]
    drop = told["metrics"]["auroc"]
    assert drop["internal"]["value"] == kept["auroc"]["value"], "judged now, and kept"
    assert drop["external"]["value"] == found["metrics"]["auroc"]["value"]
    assert drop["difference"]["value"] == pytest.approx(
        drop["external"]["value"] - drop["internal"]["value"]
    )
    assert told["recalibration"][0]["metrics"]["loss"]["value"] == pytest.approx(
        found["metrics"]["loss"]["value"]
    )
    text = externals.text(told)
    assert "external test on other" in text
    assert "refitted on" in text
    assert found["looks"] == {"looks": 1, "models": 1, "complete": True}
    judging.report(run.uri)
    page = (Path(run.uri) / "report.html").read_text()
    assert 'id="external">External tests</h2>' in page
    assert "opacity is Bacterial or Viral" in page
    assert 'id="looks">Looks at the test split</h2>' in page
    with pytest.raises(UserError, match="add --data OTHER"):
        judging.evaluate(run.uri, mapped=["normal=Healthy"])


def packed_labels(place: str) -> list[str]:
    import pyarrow.parquet as pq

    labels: list[str] = pq.read_table(Path(place) / "index.parquet").column("label").to_pylist()
    return labels


def test_without_its_own_films_the_drop_is_said_to_be_unknown(
    run: RunFolder, elsewhere: str, tmp_path: Path
) -> None:
    shutil.copy(run.best_model, tmp_path / "m.safetensors")
    own = Path(run.config().data.uri)
    own.rename(tmp_path / "moved")
    try:
        model = f"{tmp_path}/m.safetensors"
        asked = mapping.parse(["normal=Healthy", "opacity=Viral"])
        found = evaluation.evaluate(model, elsewhere, "test", evaluation.How(mapping=asked))
        again = lambda: evaluation.evaluate(model, None, "test")  # noqa: E731
        known = external.own_test(None, found, [model], again)
        document = external.external(found, known)
        assert document["metrics"] == {}
        assert f"is not at {own}" in document["unknown"]
        assert document["prevalence"]["opacity"]["internal"] is None
        assert "unknown: the dataset that it was trained on" in externals.text(document)
        assert "mapped to nothing: Bacterial" in tables.evaluation(found)
    finally:
        (tmp_path / "moved").rename(own)
