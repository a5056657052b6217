"""A sweep's page: what it says of every state and every gap, and that it is safe and the same."""

import dataclasses
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from rayograph.report.sweep import SweepReport, TrialView, render_sweep

HOSTILE = '<script>alert("x")</script>'
OUTSIDE = re.compile(r'<script|<link|<iframe|@import|(?:src|href)="(?!#)|url\((?!#)', re.I)


def trial(number, state="finished", values=(0.7, 0.9, 0.8), **changes):
    """A trial of 4 epochs that ended after `values` of the validation AUROC."""
    history = [
        {"epoch": e, "val_auroc": v, "val_accuracy": v, "val_loss": None if v is None else 1 - v}
        for e, v in enumerate(values, start=1)
    ]
    best = max((v for v in values if v is not None), default=None)
    made = TrialView(
        name=f"trial_{number:05d}",
        state=state,
        params={"optim.lr": 10.0**-number, "model.norm": ("batch", "group")[number % 2]},
        history=history,
        epochs=4,
        best_epoch=None if best is None else 1 + values.index(best),
        best=best,
        worker_seconds=30.0 * len(values),
        message="",
        handovers=(),
    )
    return dataclasses.replace(made, **changes)


def sweep(*trials, **changes):
    made = SweepReport(
        name="sweep-7",
        select="val_auroc",
        searcher="optuna",
        scheduler="asha",
        trials=trials,
        scales={"optim.lr": "log", "model.norm": "choice"},
        importance={},
        spent=sum(t.worker_seconds for t in trials),
        whole=sum(t.worker_seconds for t in trials),
        winner=None,
        command=None,
        config={"model": {"name": "cnn"}},
    )
    return dataclasses.replace(made, **changes)


def every_state():
    return sweep(
        trial(1, "stopped", (0.55, 0.6), message="not among the best third after epoch 2"),
        trial(2, values=(0.7, 0.9, 0.951, 0.8)),
        trial(3, "running"),
        trial(4, "waiting", ()),
        trial(5, "failed", (), message="the films do not fit into memory"),
        trial(6, "diverged", (0.99, math.nan), message="the loss became NaN in epoch 2"),
        trial(7, "lost", (None,), message="the worker was lost 3 times"),
        winner="trial_00002",
        command="rayograph train covid345 optim.lr=0.01 model.norm=batch",
        importance={"model.norm": 0.25, "optim.lr": 0.75},
        spent=600.0,
        whole=1500.0,
    )


def text(page):
    """What is read: the body without its tags, spaces as one."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]).split())


def rows(page):
    """The table of trials, a list of cells for each."""
    table = page.partition('<table class="trials">')[2].partition("</table>")[0]
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr")[2:]]
    return [[cell.strip() for cell in row] for row in found]


def figures(page):
    """The page's SVGs by name, each read as XML."""
    drawn = re.findall(r"<svg.*?</svg>", page.replace('xmlns="', 'data-xmlns="'), re.S)
    return {re.search(r'id="(\w+)-', svg)[1]: ET.fromstring(svg) for svg in drawn}


def legend(figure):
    return figure.get("aria-label").partition(": ")[2].split("; ")


def reach(figure, colour):
    """How far to the right the lines of one of the page's colours go."""
    lines = [p.get("d") for p in figure.iter("path") if f"--{colour}," in p.get("style", "")]
    return max(float(x) for line in lines for x in re.findall(r"[ML] ([\d.]+) ", line))


def colours(figure):
    """How many lines are drawn in each of the page's colours."""
    return Counter(
        colour
        for path in figure.iter("path")
        for colour in re.findall(r"stroke: var\(--(\w+),", path.get("style", ""))
    )


def test_page_says_what_was_searched_who_won_and_what_it_cost():
    page = render_sweep(every_state())
    said = text(page)
    assert "7 trials searched optim.lr and model.norm as optuna proposed" in said
    assert (
        "1 finished, 1 was stopped early, 1 is still running, 1 is waiting, 1 failed, 1 diverged"
        " and 1 was lost." in said
    )
    assert "The winner is trial_00002 with a validation AUROC of 0.951, in epoch 3 of 4." in said
    assert "rayograph train covid345 optim.lr=0.01 model.norm=batch" in said
    assert "The best of 4 on the validation films." in said
    assert "rayograph evaluate SWEEP/best" in said
    assert "optim.lr 75 % model.norm 25 %" in said.replace("&#8239;", " ").replace("\u202f", " ")
    assert "600 worker-seconds (10 min 00 s)" in said
    assert "about 1,500 (25 min 00 s): 60\u202f% of it was saved." in page
    assert "--share:40.0%" in page


def test_table_has_every_trial_best_first_and_broken_ones_last():
    page = render_sweep(every_state())
    table = rows(page)
    names = [int(row[0].removeprefix("trial_")) for row in table]
    assert names == [2, 3, 1, 4, 6, 5, 7]
    assert table[0] == [
        "trial_00002", "0.01", "batch", "4/4", "0.951", "3", "120", "finished", ""
    ]  # fmt: skip
    assert table[-2][3:] == ["0/4", "–", "–", "0", "failed", "the films do not fit into memory"]
    assert re.findall(r'<tr class="best"><th scope="row">(\w+)', page) == ["trial_00002"]


def test_a_loss_is_best_where_it_is_lowest():
    losses = [trial(1, best=0.5), trial(2, best=0.125), trial(3, best=0.25)]
    page = render_sweep(sweep(*losses, select="val_loss", winner="trial_00002"))
    assert [row[4] for row in rows(page)] == ["0.1250", "0.2500", "0.5000"]
    texts = {mark.text: float(mark.get("y")) for mark in figures(page)["parallel"].iter("text")}
    assert texts["0.2"] < texts["0.4"]  # y grows downwards: the lower loss is higher up


def test_curves_end_where_trials_ended_and_the_winner_stands_out():
    page = render_sweep(every_state())
    drawn = figures(page)
    assert legend(drawn["curves"]) == [
        "trial_00002, the winner",
        "its best epoch",
        "stopped early",
        "failed, diverged or lost",
        "still running",
    ]
    assert "A dot at its end marks a trial that was stopped early." in page
    assert 0 < reach(drawn["curves"], "s7") < reach(drawn["curves"], "s2")  # epochs 2 and 3
    assert reach(drawn["curves"], "s2") < reach(drawn["curves"], "s1")  # the winner's 4
    assert colours(drawn["parallel"])["s1"] == 2  # the winner, and its line in the legend
    assert {"r0", "r4"} <= set(colours(drawn["parallel"]))
    assert "--r4:" in page


def test_handovers_are_marked_and_told():
    taken = {"epoch": 2, "from": "trial_00001", "params": {"optim.lr": 0.0125}}
    pair = trial(1), trial(2, values=(0.6, 0.7, 0.95), handovers=[taken])
    page = render_sweep(sweep(*pair, scheduler="pbt", winner="trial_00002"))
    assert "weights taken over" in legend(figures(page)["curves"])
    assert "trial_00002 2 trial_00001 optim.lr=0.0125" in text(page)
    assert "does not repeat it exactly" in page
    alone = render_sweep(sweep(trial(1), scheduler="pbt"))
    assert "No trial has taken over the weights of another." in alone
    assert "marks a trial that" not in alone  # was stopped, or broke off


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (
            sweep(),
            ["No trial has been started yet.", "No epoch has a validation AUROC yet.",
             "There is no trial yet.", "Importance is not defined", "Nothing has been spent yet."],
        ),
        (
            sweep(trial(1, "waiting", ()), trial(2, "running", (None,))),
            ["No winner yet", "No trial has a validation AUROC yet."],
        ),
        (
            sweep(trial(1, "running"), trial(2, "waiting", ())),
            ["So far trial_00001 leads with a validation AUROC of 0.900.", "1 trial without"],
        ),
        (
            sweep(trial(1, "failed", ()), trial(2, "lost", ())),
            ["Every trial broke off, so there is no winner.", "No epoch has a validation AUROC."],
        ),
        (
            sweep(trial(1), winner="trial_00001"),
            ["One trial alone has a value", "No trial was stopped early, so nothing was saved.",
             "The command that repeats it was not kept.", "the only value"],
        ),
        (
            sweep(trial(1, "stopped", (0.6,)), trial(2), spent=100.0, whole=100.0),
            ["about 100 (1 min 40 s): nothing was saved."],
        ),
        (
            sweep(trial(1), trial(2), scales={}, config={}),
            ["searched no option", "No option was searched.", "No config was kept"],
        ),
    ],
    ids=["nothing", "no value", "running", "all failed", "one trial", "saved nothing", "no key"],
)  # fmt: skip
def test_what_is_missing_is_said(report, words):
    page = render_sweep(report)
    assert [word for word in words if word not in text(page)] == []
    assert not re.search(r"\b(nan|None|inf)\b", text(page))


def test_options_may_be_missing_odd_or_all_the_same():
    odd = [trial(1, params={}), trial(2, params={"optim.lr": 0.0, "model.norm": None})]
    odd += [trial(n, params={"optim.lr": 0.1, "model.norm": True}) for n in (3, 4)]
    for report in (sweep(*odd), sweep(*odd[:1]), sweep(*odd[2:])):
        assert set(figures(render_sweep(report))) == {"curves", "parallel"}
    assert rows(render_sweep(sweep(odd[0])))[0][1:3] == ["–", "–"]


def test_names_are_text_never_markup_or_mathematics():
    params = {"optim.lr": HOSTILE, "model.norm": "$\\frac{x$ & ]]> -->"}
    hostile = trial(1, params=params, message=HOSTILE, name=HOSTILE)
    page = render_sweep(
        sweep(
            hostile, trial(2), name=HOSTILE, winner=HOSTILE, command=HOSTILE,
            importance={HOSTILE: 1.0}, scales={"optim.lr": "choice", HOSTILE: "choice"},
            config={"note": "</pre>" + HOSTILE},
        )
    )  # fmt: skip
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert len(figures(page)) == 2


def test_page_asks_nothing_of_the_outside():
    page = render_sweep(every_state())
    assert OUTSIDE.findall(page) == []
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_same_sweep_gives_same_bytes_and_ids_are_unique():
    page = render_sweep(every_state())
    assert page == render_sweep(every_state())
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    aims = re.findall(r'(?:url\(#|href="#)([^)"]*)', page)
    assert aims
    assert set(aims) <= set(ids)


def test_two_hundred_trials_of_ten_options_stay_readable():
    keys = [f"augment.some_long_option_{letter}" for letter in "abcdefghij"]
    trials = [
        trial(n, values=(0.5 + n / 1000,), params=dict.fromkeys(keys, n * 7 % 13))
        for n in range(200)
    ]
    report = sweep(*trials, scales=dict.fromkeys(keys, "choice"), winner="trial_00199")
    page = render_sweep(report)
    titles = [mark.text for mark in figures(page)["parallel"].iter("text")]
    assert titles.count("option_a") == 1  # a title is folded, not cut
    assert len(rows(page)) == 200
    assert len(page.encode()) < 700_000
