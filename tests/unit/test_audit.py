"""The audit finds planted shortcuts, of the pixels and of the file, and none in clean films."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rayograph import storage
from rayograph import task as tasks
from rayograph.config import PackOptions, RunConfig
from rayograph.console import auditing
from rayograph.errors import UserError
from rayograph.evaluate.audit import features, shortcuts
from rayograph.pack import phantom, phantom_records
from rayograph.report import audit as shown
from rayograph.report.load import report_of
from rayograph.report.page import render
from rayograph.runs import findings
from rayograph.runs.folder import RunFolder
from rayograph.task import Estimate
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing
from tests.small import trained

FILMS = 260


def alike(folder: Path) -> None:
    """Healthy films only, dealt to two classes: nothing but a shortcut can tell them apart."""
    draw = np.random.default_rng(0)
    for number in range(FILMS):
        part = "train" if number < FILMS // 2 else "val" if number < FILMS * 0.6 else "test"
        name = phantom.CLASSES[int(draw.integers(2))]
        (folder / part / name).mkdir(parents=True, exist_ok=True)
        film = Image.fromarray(phantom.film(number, opacity=False, size=32))
        film.save(folder / part / name / f"p{number:05}_1.png")


def opacities(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/opacity/*.png"))


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A bright mark in a corner of one class's films; the anatomy is that of both."""
    place = tmp_path_factory.mktemp("marked")
    alike(place / "films")
    for path in opacities(place / "films"):
        film = np.asarray(Image.open(path)).copy()
        film[:3, :3] = 255
        Image.fromarray(film).save(path)
    return trained(place, "train.epochs=3")


def looks(run: RunFolder) -> int:
    return len(list(storage.listing(storage.join(run.uri, "evaluation", "looks"))))


def test_a_mark_in_the_corner_is_found_and_told_first(marked: RunFolder) -> None:
    auditing.audit(marked.uri)
    found = findings.load(marked.uri, shortcuts.NAME)
    assert found is not None
    again = shortcuts.audit(marked.best_model, marked.uri, None)
    assert again["baselines"] == found["baselines"], "by the predictions that the run keeps"
    assert looks(marked) == 2, "a look each time, though nothing was predicted anew"
    border = found["baselines"]["border"]
    assert border["auroc"]["low"] > 0.95
    assert border["close"] is True
    assert "border of the film" in shown.verdict(found)
    kept = json.loads(storage.read(storage.join(marked.uri, "evaluation", "test", "metrics.json")))
    assert found["auroc"] == pytest.approx(kept["metrics"]["auroc"]), "the interval of `evaluate`"
    page = render(report_of(marked))
    assert page.index("Shortcut possible") < page.index("Learning</h2>"), "said at the top"
    assert len(re.findall(r'aria-label="AUROC without anatomy', page)) == 1
    text = auditing.told(found)
    assert re.search(r"border of the film +1\.000 .* yes\n", text)
    assert text.endswith("do not go together.")


def test_what_differs_in_the_file_is_found_by_its_metadata(tmp_path: Path) -> None:
    alike(tmp_path / "films")
    for path in opacities(tmp_path / "films"):
        Image.open(path).convert("RGB").resize((40, 40)).save(path)
    run = trained(tmp_path)
    found = shortcuts.audit(run.best_model, run.uri, None)
    assert {*found["columns"]["used"]} >= {"width", "height", "mode"}
    assert found["baselines"]["metadata"]["auroc"]["low"] > 0.99
    assert found["baselines"]["metadata"]["close"] is True
    assert "file metadata alone 1.000" in shown.verdict(found)


def test_nothing_is_flagged_where_only_the_anatomy_differs(tmp_path: Path) -> None:
    phantom.write(tmp_path / "films", 400, seed=9, size=32)
    run = trained(tmp_path, "train.epochs=4")
    found = shortcuts.audit(run.best_model, None, None)
    assert "metadata" not in found["baselines"], "all files are alike"
    assert found["baselines"]["thumbnail"]["auroc"]["low"] > 0.7, "it sees opacities, coarsely"
    assert shown.doubts(found) == []
    assert "No baseline without anatomy comes close" in shown.verdict(found)
    found["auroc"]["low"] = 0.4
    assert "not better than chance" in shown.verdict(found)


@given(st.integers(16, 80), st.integers(0, 2**32 - 1))
def test_features_are_means_of_cells_and_masks_are_complements(side: int, seed: int) -> None:
    films = np.random.default_rng(seed).integers(0, 256, (2, side, side)).astype(np.uint8)
    found = features.thumbnail(films)
    for i, place in enumerate(np.ndindex(8, 8)):
        (top, left), (bottom, right) = (
            [p * side // 8 for p in corner] for corner in (place, np.add(place, 1))
        )
        np.testing.assert_allclose(found[:, i], films[:, top:bottom, left:right].mean((1, 2)), 1e-5)
    inside, outside = (features.masked(films, middle) for middle in (False, True))
    width = features.frame(side)
    middle = np.zeros((side, side), bool)
    middle[width:-width, width:-width] = True
    assert (inside[:, middle] == films[:, middle]).all()
    assert (outside[:, ~middle] == films[:, ~middle]).all()
    assert all(len(np.unique(each)) == 1 for each in (*inside[:, ~middle], *outside[:, middle]))
    changed = np.where(middle, 255 - films, films).astype(np.uint8)
    border = features.border(films)
    assert border.shape == (2, 64)
    assert (features.border(changed) == border).all(), "it does not see the middle"


@pytest.mark.parametrize(
    ("low", "lead", "share", "expected"),
    [
        (0.6, (-0.01, 0.1), 0.5, True),  # the model's lead may be 0
        (0.6, (-0.2, -0.1), None, True),  # the model is worse
        (0.6, (0.01, 0.1), 0.79, False),
        (0.6, (0.01, 0.1), 0.8, True),
        (0.5, (-0.01, 0.1), 0.9, False),  # may be chance
        (None, (-0.01, 0.1), 0.9, None),
    ],
)
def test_the_rule(
    low: float | None, lead: tuple[float, float], share: float | None, expected: bool | None
) -> None:
    auroc, difference = Estimate(0.7, low, 0.8), Estimate(0.05, *lead)
    assert shortcuts.close(auroc, difference, share) is expected


def test_of_several_labels_each_is_told_by_itself_where_it_is_known() -> None:
    draw = np.random.default_rng(0)
    task = tasks.of("multilabel", ("seen", "noise", "always"))
    labels = draw.integers(0, 2, (400, 3)).astype(np.int8)
    labels[:, 2] = 1
    pixels = draw.normal(size=(400, 4)) + 3 * labels[:, :1]
    labels[::7, 0] = -2
    fitted = features.logits(task, features.of_pixels, pixels[:200], labels[:200], pixels[200:])
    assert len(np.unique(fitted[:, 2])) == 1, "one class: nothing is fitted"
    quick = task.under(labels[200:], fitted, None)(np.ones((1, 200)))
    seen, noise, _ = task.by_label["auroc"](quick)[0]
    assert seen > 0.99
    assert 0.3 < noise < 0.7


def test_ids_labels_and_texts_of_the_table_are_never_used() -> None:
    names = ["x", "y", "z"] * 4
    table = pa.table(
        {
            "sample_id": names, "patient_id": names, "part": names, "shard": names, "label": names,
            "label_Mass": names, "source": names, "sha256": names, "Finding Labels": names,
            "age": [*range(12)], "sex": names, "manufacturer": names, "width": [5] * 12,
            "view": [None] * 12,
        }
    )  # fmt: skip
    found = features.columns(table)
    assert (found.used, found.constant) == (("manufacturer",), ("width",))
    assert "view" in found.unknown
    other = pa.table({"manufacturer": ["y", "new", None]})
    _, theirs = features.metadata(found.used, table, table, other)
    assert np.isnan(theirs[1:]).all()
    assert not np.isnan(theirs[0]).any()


def test_an_audit_needs_films(tmp_path: Path) -> None:
    phantom_records.write(tmp_path / "records.csv", 60, seed=1)
    options = PackOptions(
        inputs="table", patient_column="person", negative="rest", exclude=("strenuous",)
    )
    data = packing(tmp_path / "records.csv", tmp_path / "packed", options)
    words = (
        f"data.uri={data.uri}", f"run.storage={tmp_path}", "model.name=mlp", "train.epochs=1",
        "train.batch_size=16",
    )  # fmt: skip
    run = local.run(RunConfig.load(None, words), lambda _row: None, deaf)
    with pytest.raises(UserError, match="an audit needs films, this dataset has records"):
        shortcuts.audit(run.best_model, run.uri, None)
