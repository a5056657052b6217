"""The report in a real Chromium: read, link by link, dark, on a phone, by a screen reader."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rayograph import task
from rayograph.console import auditing, explaining, judging
from rayograph.report.load import report_of
from rayograph.report.page import EvaluationView, RunReport, render
from rayograph.report.verdict import verdict
from tests.small import trained

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
CONFIG = {
    "model": {"name": "cnn"}, "data": {"uri": "s3://films/packed", "image_size": 128},
    "train": {"epochs": 2, "batch_size": 60, "select": "val_auroc"},
}  # fmt: skip
HISTORY = [
    {"epoch": e, "train_loss": 1 / e, "val_loss": 1.1 / e, "val_auroc": 0.8 + e / 20,
     "checkpoint": f"checkpoint_{e:04}_00000000"}
    for e in (1, 2)
]  # fmt: skip
ESTIMATE = {"value": 0.943, "low": 0.901, "high": 0.975}
LONG = "a_very_long_label_that_has_no_place_to_break_" * 2
SIZES = ((1280, 900), (375, 740))


def binary() -> EvaluationView:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 80)
    ones = np.clip(0.5 + 0.3 * (labels - 0.5) + draw.normal(0, 0.2, 80), 0.01, 0.99)
    names = ("accuracy", "auroc", "average_precision", "sensitivity", "specificity")
    points = ("sensitivity_at_threshold", "specificity_at_threshold")
    gap = {"high": "M", "low": "F", "difference": {"value": 0.2, "low": 0.1, "high": 0.3}}
    parts = {sex: {"films": 40, "patients": 40, "metrics": {"auroc": ESTIMATE}} for sex in "FM"}
    return EvaluationView(
        "test", "multiclass", ("normal", "pneumonia"), 80, 80,
        dict.fromkeys((*names, *points), ESTIMATE), [[30, 10], [5, 35]], labels,
        np.stack([1 - ones, ones], axis=1), operating_points=(0.4,),
        checkpoints=[{"epoch": e, "metrics": {"auroc": ESTIMATE}} for e in (1, 2)],
        selection={
            "metric": "auroc", "chosen_epoch": 2, "best_epoch": 1, "lead": 0.02,
            "expected_by_luck": 0.015, "p": 0.3, "all_luck": True,
        },
        subgroups={"sex": {"parts": parts, "gaps": {"auroc": gap}}},
    )  # fmt: skip


def multilabel() -> EvaluationView:
    draw = np.random.default_rng(1)
    classes = ("Effusion", "Mass", LONG)
    labels = draw.integers(-1, 2, (60, 3))
    labels[:, 1] = 0  # nothing of it can be judged
    judged = {name: dict.fromkeys(task.of("multilabel", classes).by_label, ESTIMATE)
              for name in classes}  # fmt: skip
    judged["Mass"] = {name: dict.fromkeys(ESTIMATE) for name in judged["Mass"]}
    metrics = {"auroc": {"value": 0.52, "low": 0.41, "high": 0.63}}
    return EvaluationView(
        "test", "multilabel", classes, 60, 30, metrics, np.full((3, 2, 2), 5).tolist(), labels,
        np.clip(0.5 + 0.2 * labels + draw.normal(0, 0.1, (60, 3)), 0.01, 0.99),
        by_label=judged, owners=[f"p{i // 2}" for i in range(60)],
    )  # fmt: skip


LOOKS = {"counted": 3, "models": 2, "looks": [], "unknown": None}
RUN = RunReport("run-7", CONFIG, HISTORY, ())
REPORTS = {
    "binary": (
        dataclasses.replace(RUN, evaluations=[binary()], findings={"looks": LOOKS}),
        "On 80 test films of 80 patients, the model tells pneumonia from normal with an AUROC of "
        "0.943 (95 % interval 0.901–0.975).",
        ["AUROC is 0.200 (0.100 to 0.300) higher in M than in F", "looked at 3 times, by 2 models"],
    ),
    "labels": (
        dataclasses.replace(RUN, evaluations=[multilabel()]),
        "On 60 test films of 30 patients, the model tells 3 labels with a mean AUROC of 0.520 "
        "(95 % interval 0.410–0.630); that cannot be told from guessing.",
        ["Not judged: Mass", "No operating point of Effusion", "the interval of AUROC is 0.22"],
    ),
    "nothing": (RUN, "Not evaluated yet: how well this model does, nobody knows.", []),
}  # fmt: skip


def whole(place: Path) -> RunReport:
    """A run of phantoms with all that commands leave: an audit, maps, labels that may be wrong."""
    run = trained(place)
    judging.evaluate(run.uri, point="specificity=0.9", prevalence=[0.05])
    auditing.audit(run.uri)
    explaining.explain(run.uri)
    explaining.suspects(run.uri)
    return report_of(run)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as player:
        found = player.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield found
        found.close()


@contextmanager
def opened(browser, place: Path, size=SIZES[0]) -> Iterator[tuple[object, list[str]]]:
    """The page at a size; what it complained of and asked of others is in the list afterwards."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda one: wrong.append(one.url) if not ours(one.url, place) else None)
    page.goto(place.as_uri())
    yield page, wrong
    page.close()


def ours(url: str, place: Path) -> bool:
    return url.startswith("data:") or url.partition("#")[0] == place.as_uri()


@pytest.fixture(scope="module", params=[*REPORTS, "whole"])
def shown(request, tmp_path_factory):
    """A report's page as a file, its verdict, and what it must distrust."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "whole":
        report = whole(folder)
        said, doubts = " ".join(verdict(report).sentence.split()), ["validation films only"]
    else:
        report, said, doubts = REPORTS[request.param]
    place = folder / "report.html"
    place.write_text(render(report), encoding="utf-8")
    return place, said, doubts


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_reads_follows_links_and_turns_dark(browser, shown, size):
    place, sentence, doubts = shown
    with opened(browser, place, size) as (page, wrong):
        read = " ".join(page.locator("#verdict").inner_text().split())
        assert read == sentence
        told = page.locator("section.distrust").inner_text().replace("\u202f", " ")
        assert [said for said in doubts if said not in told] == []
        links = page.locator("a[href^='#']")
        assert links.count() >= 4
        for link in links.all():
            aim = link.get_attribute("href")
            link.focus()
            page.keyboard.press("Enter")
            assert page.evaluate("location.hash") == aim
            assert page.locator(aim).bounding_box()["y"] < size[1], f"{aim} is not in sight"
        for scheme, brightness in (("light", lambda v: v > 200), ("dark", lambda v: v < 60)):
            page.emulate_media(color_scheme=scheme)
            assert brightness(page.evaluate(PAPER)), scheme
            assert not brightness(page.evaluate(INK)), scheme
        assert page.evaluate(OVERFLOW) == [], "scrolls sideways"
        assert page.evaluate(BROKEN) == []
    assert wrong == []


PAPER = "+getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
INK = "+getComputedStyle(document.querySelector('h1')).color.match(/\\d+/)[0]"
OVERFLOW = """document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll('body *')]
      .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)
      .map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 40))
  : []"""
BROKEN = """[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)
  .concat([...document.querySelectorAll('svg')]
    .filter(s => s.checkVisibility() && !s.getBoundingClientRect().width)
    .map(s => s.outerHTML.slice(0, 80)))"""


def faults(page, **options) -> list[str]:
    """What axe-core finds against the page with everything unfolded."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    found = axe.run(page, options={"resultTypes": ["violations"], **options})
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found.response["violations"]]


@pytest.mark.parametrize("shown", ["whole", "labels"], indirect=True)
def test_a_screen_reader_finds_no_fault(browser, shown):
    with opened(browser, shown[0], SIZES[1]) as (page, _):
        assert faults(page) == []
        page.emulate_media(color_scheme="dark")
        assert faults(page, runOnly=["color-contrast"]) == []


def test_checks_of_this_file_see_what_is_wrong(browser, tmp_path):
    place = tmp_path / "report.html"
    bad = "<img alt='' src='data:image/png;base64,AAAA'><div style='width:5000px'>wide</div>"
    bad += "<img src='data:,'><img alt='' src='http://example.invalid/x'>"
    page_text = render(RUN).replace("</main>", f"{bad}</main>")
    place.write_text(page_text, encoding="utf-8")
    with opened(browser, place) as (page, wrong):
        assert page.evaluate(OVERFLOW) != []
        assert len(page.evaluate(BROKEN)) == 3
        assert any(said.startswith("image-alt") for said in faults(page))
    assert any("Content Security Policy" in said for said in wrong)


def test_printed_page_shows_what_was_folded(browser, tmp_path):
    place = tmp_path / "report.html"
    place.write_text(render(REPORTS["binary"][0]), encoding="utf-8")
    with opened(browser, place) as (page, _):
        item = page.get_by_text("Funding and the role of funders")
        assert not item.is_visible()
        page.emulate_media(media="print")
        assert item.is_visible()
        assert not page.locator("nav").is_visible()
