"""The report: what it says, that it is safe and self-contained, and that a browser shows it."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayograph.report.page import EvaluationView, RunReport, render
from rayograph.report.view import best_row

CHROMIUM = Path("/usr/bin/chromium")
browser = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
HOSTILE = '<script>alert("x")</script>'
CONFIG = {
    "model": {"name": "cnn"},
    "data": {"uri": "s3://films/packed", "image_size": 128},
    "train": {"epochs": 3, "batch_size": 60, "select": "val_auroc"},
    "cluster": {"workers": 2},
}
HISTORY = [
    {
        "epoch": float(e),
        "train_loss": 1 / e,
        "train_accuracy": 0.6 + e / 20,
        "val_loss": 1.1 / e,
        "val_accuracy": 0.6 + e / 30,
        "val_auroc": (0.7, 0.9, 0.8)[e - 1],
        "films_per_s": 200.0,
        "seconds": 61.0,
        "lr": 1e-3,
        "checkpoint": f"checkpoint_{e:04}_00000000",
    }
    for e in (1, 2, 3)
]


def evaluation(classes=("NORMAL", "COVID-19"), films=60, truth=None, split="test"):
    draw = np.random.default_rng(0)
    labels = draw.integers(0, len(classes), films) if truth is None else np.full(films, truth)
    logits = draw.normal(size=(films, len(classes))) + 2 * np.eye(len(classes))[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
    metrics = {
        "accuracy": {"value": 76 / 86, "low": 0.799, "high": 0.936},
        "auroc": {"value": 0.943 if truth is None else float("nan"), "low": None, "high": None},
    }
    return EvaluationView(
        split,
        "multiclass",
        tuple(classes),
        films,
        films,
        metrics,
        confusion.tolist(),
        labels,
        probabilities,
    )


def run(*evaluations, **changes):
    return dataclasses.replace(RunReport("run-7", CONFIG, HISTORY, evaluations), **changes)


def test_page_says_what_was_trained_and_how_well():
    page = render(run(evaluation()))
    assert "cnn was trained on films of s3://films/packed at 128 × 128 pixels" in page
    assert "for 3 epochs in batches of 60 films by 2 workers." in page
    assert "88.4\u202f%" in page
    assert "79.9–93.6\u202f%" in page
    assert page.count('role="img"') == 5  # loss, scores, ROC, precision and recall, reliability
    assert "not for clinical use" in page


def test_same_run_gives_same_bytes_and_ids_are_unique():
    report = run(evaluation(), evaluation(("a", "b", "c"), split="val"))
    page = render(report)
    assert page == render(report)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    aims = re.findall(r'(?:url\(#|href="#)([^)"]*)', page)
    assert aims
    assert set(aims) <= set(ids)


def test_names_are_text_never_markup_or_mathematics():
    classes = (HOSTILE, '$\\frac{x$ & "]]> -->\x00\ud800')
    config = {"model": {"name": HOSTILE}, "data": {"uri": HOSTILE}, "note": "</pre>" + HOSTILE}
    page = render(run(evaluation(classes), name=HOSTILE, config=config))
    assert "<script" not in page
    assert "</pre>&lt;" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (run(history=[], config={}), ["A model is to be trained.", "No epoch has been finished"]),
        (run(history=HISTORY[:1]), ["Not evaluated yet", "for 1 of 3 epochs"]),
        (run(evaluation(truth=0)), ["films of one class only", "not defined on this split"]),
        (run(evaluation(("a", "b", "c"))), ["each class against the rest"]),
    ],
    ids=["nothing", "one epoch", "one class", "three classes"],
)
def test_what_is_missing_is_said(report, words):
    page = render(report)
    assert all(word in page for word in words)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", page.lower())


def test_checkpoints_on_the_test_split_are_marked_exploratory():
    rows = [{"epoch": e, "metrics": evaluation().metrics} for e in (1, 2)]
    page = render(run(dataclasses.replace(evaluation(), checkpoints=rows)))
    assert "Exploratory: chosen on the test split." in page


def test_best_epoch_is_the_one_that_training_chose():
    assert best_row(run()) == 1
    assert best_row(run(config={"train": {"select": "val_loss"}})) == 2
    saved = [{**row, "checkpoint": "c" if row["epoch"] != 2 else None} for row in HISTORY]
    assert best_row(run(history=saved)) == 2
    blind = run(history=[{**row, "val_auroc": float("nan")} for row in HISTORY])
    assert best_row(blind) == 2, "training then goes by the validation loss"
    losses = ("val_auroc", "val_loss", "train_loss")
    none = run(history=[{**row, **dict.fromkeys(losses, float("nan"))} for row in HISTORY])
    assert best_row(none) is None
    assert "No best epoch is marked" in render(none)
    assert best_row(run(history=[])) is None


def test_page_of_many_films_stays_small():
    assert len(render(run(evaluation(films=100_000))).encode()) < 400_000


def _open(page: str, folder: Path) -> tuple[str, list[str], set[str]]:
    """The DOM after loading, what the console said, and what the page asked of the network.

    Chromium's own errands (its clock, its updates) have no origin in its log, a page's have one.
    """
    (folder / "report.html").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'net.json'}",
            "--enable-logging=stderr", "--dump-dom", f"--screenshot={folder / 'page.png'}",
            (folder / "report.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = [e.get("params", {}) for e in json.loads((folder / "net.json").read_text())["events"]]
    asked = {e["url"] for e in events if "url" in e and e.get("initiator") == "null"}
    return done.stdout, console, asked


@browser
def test_browser_shows_the_page_without_a_request_or_a_complaint(tmp_path):
    page = render(run(evaluation((HOSTILE, "$x$")), name=HOSTILE))
    dom, console, asked = _open(page, tmp_path)
    assert console == []
    assert asked == set()
    assert "<script" not in dom
    assert dom.count("<svg") == 5
    assert "not for clinical use" in dom
    colours = Image.open(tmp_path / "page.png").convert("RGB").getcolors(maxcolors=1 << 20)
    assert len(colours) > 50


@browser
def test_browser_check_would_see_a_request(tmp_path):
    outside = '<img src="http://example.invalid/x.png">'
    page = render(run()).replace("</main>", outside + "</main>")
    _, console, _ = _open(page, tmp_path)
    assert any("Content Security Policy" in line for line in console)
    _, _, asked = _open(re.sub("<meta http-equiv[^>]*>", "", page), tmp_path)
    assert asked == {"http://example.invalid/x.png"}
