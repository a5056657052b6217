"""`train.watch`: the test films judged after every epoch choose nothing, and every look counts."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from rayograph.config import RunConfig, SweepConfig
from rayograph.console.epochs import EpochLines
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate import evaluation
from rayograph.report.distrust import distrust
from rayograph.report.load import report_of
from rayograph.report.page import render
from rayograph.runs import evaluations, looks
from rayograph.runs.card import MODEL
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.checks import check_run
from rayograph.train.estimate import estimate
from rayograph.train.stops import deaf
from tests.small import WORDS, trained

EPOCHS = 3
LEARNED = ("train_loss", "train_accuracy", "val_loss", "val_auroc", "films_digest")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def watched(place: Path) -> RunFolder:
    words = (f"train.epochs={EPOCHS}", "checkpoint.keep=all")
    return trained(place, *words, "train.watch=[test]", "run.name=seen")


def test_each_epoch_has_the_figures_of_the_test_films(watched: RunFolder) -> None:
    rows, places = watched.history(), watched.checkpoints()
    for row in rows:
        found = evaluation.evaluate(f"{places[row['epoch']]}/{MODEL}", None, "test")
        for name in ("accuracy", "auroc"):  # which no temperature changes
            assert row[f"test_{name}"] == pytest.approx(found.metrics[name].value)
        assert row["test_loss"] > 0
    sheet = Console(record=True, width=300)
    EpochLines(sheet, EPOCHS, "val_balanced_accuracy").show(rows[0])
    line = sheet.export_text()
    head, _, tail = line.partition("  test loss ")
    assert "  val loss " in head
    told = f"{rows[0]['test_loss']:.4f}  accuracy {rows[0]['test_accuracy']:.3f}  balanced accuracy"
    assert tail.startswith(told)


def test_nothing_that_is_learned_or_chosen_depends_on_it(watched: RunFolder, place: Path) -> None:
    again = place / "blind"
    again.mkdir()
    (again / "films").symlink_to(place / "films")
    blind = trained(again, f"train.epochs={EPOCHS}", "checkpoint.keep=all")
    pairs = zip(watched.history(), blind.history(), strict=True)
    for one, other in pairs:
        assert [one[name] for name in LEARNED] == [other[name] for name in LEARNED]
        assert not any(name.startswith("test_") for name in other)
    first, second = watched.card(), blind.card()
    assert first is not None
    assert second is not None
    assert first.epoch == second.epoch
    assert not list(Path(blind.config().data.uri).glob("looks/*")), "nobody has looked"


def test_each_epoch_is_a_look_at_the_model_whose_file_it_left(watched: RunFolder) -> None:
    data = Path(watched.config().data.uri)
    rows = [json.loads(path.read_text()) for path in sorted(data.glob("looks/*.json"))]
    assert [(row["command"], row["epoch"]) for row in rows] == [("train", n) for n in (1, 2, 3)]
    own = sorted(Path(watched.uri).glob("evaluation/looks/*.json"))
    assert [json.loads(path.read_text()) for path in own] == rows
    history = watched.history()
    for row, epoch in zip(rows, history, strict=True):
        assert row["metrics"]["auroc"] == {"value": epoch["test_auroc"], "low": None, "high": None}
    found = evaluation.evaluate(watched.best_model, None, "test")
    counted = looks.count(found, watched.uri)
    assert counted == looks.Looks(EPOCHS, EPOCHS)
    evaluations.save(found, watched.uri)
    assert looks.count(found, watched.uri) == looks.Looks(EPOCHS + 1, EPOCHS), "the same file"

    report = report_of(watched)
    page = render(report)
    told = "; 3 of these were epochs of a run that watched it while it trained."
    assert told in page
    assert any(told in doubt for doubt in distrust(report).doubts)
    assert "test accuracy (exploratory)" in page
    assert "Nothing was chosen by them, but each epoch was a look at them" in page
    assert '<td class="n">1–3</td>' in page, "one row of the ledger"


def test_epochs_without_a_checkpoint_are_looks_too(watched: RunFolder, tmp_path: Path) -> None:
    words = [f"data.uri={watched.config().data.uri}", f"run.storage={tmp_path}", *WORDS]
    words += [f"train.epochs={EPOCHS}", "checkpoint.every=3", "train.watch=[test]"]
    folder = local.run(RunConfig.load(None, words), lambda _row: None, deaf)
    own = sorted(Path(folder.uri).glob("evaluation/looks/*.json"))
    rows = [json.loads(path.read_text()) for path in own]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert len({row["digest"] for row in rows}) == 3
    assert [row["model"] for row in rows[:2]] == [folder.uri] * 2


def test_what_cannot_be_watched_is_said_before_anything_starts(
    watched: RunFolder, tmp_path: Path
) -> None:
    config = watched.config()
    data = Dataset.open(config.data.uri)
    manifest = data.manifest.model_copy(
        update={
            "splits": {k: v for k, v in data.manifest.splits.items() if k != "test"},
            "parts": {k: v for k, v in data.manifest.parts.items() if k != "test"},
        }
    )
    with pytest.raises(UserError, match=r"train\.watch=\[test\]: .* has no test films; it has tr"):
        check_run(config, Dataset(data.uri, manifest, None))
    with pytest.raises(UserError, match=r"train\.watch"):
        RunConfig.load(None, [*WORDS, "train.watch=[val]"])
    with pytest.raises(UserError, match=r"must not see these films; use train\.watch=\[\]"):
        SweepConfig.load(None, [f"run.storage={tmp_path}", "train.watch=[test]"])


def test_what_a_run_needs_counts_the_films_that_are_watched(watched: RunFolder) -> None:
    config, data = watched.config(), Dataset.open(watched.config().data.uri)
    blind = config.model_copy(update={"train": config.train.model_copy(update={"watch": ()})})
    less, more = (estimate(each, data, 0, 100.0) for each in (blind, config))
    stored = sum(batch.bytes for _, batch in data.split("test").batches)
    assert more.bytes_per_worker_and_epoch - less.bytes_per_worker_and_epoch == stored
    assert more.seconds is not None
    assert less.seconds is not None
    assert more.seconds - less.seconds == pytest.approx(data.split("test").rows * EPOCHS / 300)
    assert more.validation_films == less.validation_films
