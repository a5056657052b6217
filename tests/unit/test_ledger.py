"""The ledger: what it keeps, and that a sweep goes on from it as if it had not been interrupted."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from rayograph import storage
from rayograph.config import SweepConfig, TrainOptions
from rayograph.console import tables, trials
from rayograph.errors import Failure, UserError
from rayograph.search import optuna
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Ledger, Trial
from rayograph.search.proposals import ResumableAsha
from rayograph.search.space import Domain, Space
from rayograph.search.sweep import Outcome, repeats


def row(epoch: int, auroc: float | None, seconds: float = 2.0) -> dict[str, Any]:
    name = f"checkpoint_{epoch:04}_0"
    return {"epoch": epoch, "val_auroc": auroc, "train_loss": 0.5, "seconds": seconds,
            "checkpoint": name, "val_loss": 0.4, "val_accuracy": 0.9}  # fmt: skip


def trial(number: int, *aurocs: float, **fields: Any) -> Trial:
    given = {"number": number, "params": {"optim.lr": 0.1 * (number + 1)}, "epochs": 9, **fields}
    found = Trial(run=f"trial_{number:05}", **given)
    for epoch, auroc in enumerate(aurocs, start=1):
        found.add(row(epoch, auroc), found.run, TrainOptions(), 2)
    return found


def test_a_ledger_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    place = str(tmp_path / "trials.jsonl")
    ledger = Ledger(place, [trial(0, 0.7, 0.9, 0.8), trial(1, state="failed", message="why")])
    ledger.touch()
    ledger.save(now=True)
    again = Ledger.at(place)
    assert again.trials == ledger.trials
    assert len(Path(place).read_text().splitlines()) == 2, "one line a trial"
    first = again.named("trial_00000")
    assert (first.epoch, first.seconds, first.last) == (3, 12, 0.8)
    assert first.best is not None
    assert (first.best.epoch, first.best.metrics["val_auroc"]) == (2, 0.9)


def test_it_is_written_at_most_once_a_second(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "trials.jsonl"))
    now = [100.0]
    written = []
    for step in range(40):
        ledger.trials[step] = trial(step)
        ledger.touch()
        ledger.save(clock=lambda: now[0])
        written.append(len(Path(ledger.uri).read_text().splitlines()))
        now[0] += 0.1
    assert len(set(written)) == 4
    ledger.save(now=True)
    assert len(Path(ledger.uri).read_text().splitlines()) == 40


def test_a_damaged_ledger_names_its_line(tmp_path: Path) -> None:
    place = tmp_path / "trials.jsonl"
    ledger = Ledger(str(place), [trial(0), trial(1)])
    ledger.touch()
    ledger.save(now=True)
    storage.write(str(place), place.read_bytes()[:-20])
    with pytest.raises(Failure, match=r"trials.jsonl: line 2 is damaged"):
        Ledger.at(str(place))


def test_the_winner_has_the_best_checkpoint_of_all_and_an_unsaved_epoch_does_not_count() -> None:
    unsaved = trial(2, 0.6)
    unsaved.add(row(2, 0.99) | {"checkpoint": None}, unsaved.run, TrainOptions(), 1)
    ledger = Ledger("", [trial(0, 0.8), trial(1, 0.9, 0.7), unsaved, trial(3)])
    assert [t.number for t in ledger.ranked()] == [1, 0, 2, 3]
    assert ledger.winner() is ledger.trials[1]
    assert Ledger("", [trial(3)]).winner() is None


def test_a_trial_is_judged_by_its_last_epoch_where_that_is_the_model() -> None:
    found, train = trial(0), TrainOptions(final="last")
    found.review([row(1, 0.9), row(2, 0.7)], train, 1)
    found.review([row(1, 0.9), row(2, 0.7)], train, 1)  # once more, as after a restart
    assert found.best is not None
    assert (found.best.epoch, found.best.score) == (2, 0.7)


def test_the_same_epoch_told_twice_costs_once() -> None:
    found = trial(0, 0.5)
    found.add(row(1, 0.5), found.run, TrainOptions(), 2)
    assert found.seconds == 4


def test_what_early_stopping_saved_is_each_trials_own_pace() -> None:
    ledger = Ledger("", [trial(0, *[0.5] * 9, state="finished"), trial(1, 0.5, state="stopped")])
    assert ledger.cost() == (40, 40 + 8 * 4)


def test_asha_decides_after_a_restart_as_if_there_had_been_none() -> None:
    rng = random.Random(0)
    curves = {number: [rng.random() for _ in range(9)] for number in range(12)}
    options = {"time_attr": "epoch", "max_t": 9, "grace_period": 1, "reduction_factor": 3}

    def rows(number: int, epochs: int) -> list[dict[str, Any]]:
        curve = enumerate(curves[number][:epochs], start=1)
        return [{"epoch": epoch, "score": score} for epoch, score in curve]

    def told(scheduler: Any, number: int, since: int) -> list[str]:
        run = Named(number)
        scheduler.on_trial_add(None, run)
        return [scheduler.on_trial_result(None, run, r) for r in rows(number, 9)[since:]]

    whole = AsyncHyperBandScheduler(metric="score", mode="max", **options)
    for number in range(6):
        told(whole, number, 0)
    decided = told(whole, 6, 0)
    assert "STOP" in decided, "or this shows less than it should"
    past = [(trial(number, state="finished"), rows(number, 9)) for number in range(6)]
    for epochs in range(1, 9):  # interrupted after so many; the last of them is told again
        again = ResumableAsha([*past, (trial(6), rows(6, epochs - 1))], **options)
        assert told(again, 6, epochs - 1) == decided[epochs - 1 :]
    for number in range(7, 12):
        assert told(again, number, 0) == told(whole, number, 0)


class Named(SimpleNamespace):
    """Stands for Tune's trial, of which the scheduler asks no more than id and name."""

    def __init__(self, number: int) -> None:
        super().__init__(trial_id=f"id{number}")
        self.number = number

    def __str__(self) -> str:
        return f"trial_{self.number:05}"

    __hash__ = object.__hash__  # type: ignore[assignment]


SPACE = Space("s", {"optim.lr": Domain("uniform", (0.0, 2.0))}, ("train.epochs=9",))


def test_optuna_knows_what_has_ended_and_does_not_propose_it_again() -> None:
    done = [trial(number, 0.5 + 0.01 * number, state="finished") for number in range(8)]
    first = [optuna.proposer(SPACE, Ledger(""), 0).suggest("a") for _ in range(2)]
    assert first[0] == first[1], "seeded"
    search = optuna.proposer(SPACE, Ledger("", done), 0)
    assert search.suggest("a") != first[0]
    assert len(search._ot_study.trials) == 9


def test_importance_finds_the_parameter_that_matters_and_says_nothing_of_too_few() -> None:
    domains = {"optim.lr": Domain("uniform", (0.0, 2.0)), "model.width": Domain("choice", (8, 16))}
    space, rng = Space("s", domains, ()), random.Random(0)
    trials = []
    for number in range(24):
        lr = rng.uniform(0, 2)
        params = {"optim.lr": lr, "model.width": rng.choice([8, 16])}
        trials.append(trial(number, lr / 2, params=params))
    found = optuna.importance(space, Ledger("", trials))
    assert found["optim.lr"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert optuna.importance(space, Ledger("", trials[:3])) == {}
    same = [trial(n, 0.5, params=t.params) for n, t in enumerate(trials)]
    assert optuna.importance(space, Ledger("", same)) == {}


def test_the_winners_command_is_the_sweeps_with_its_parameters() -> None:
    winner = trial(1, params={"optim.lr": 0.5, "model.norm": "group", "optim.clip_norm": None})
    winner.add(row(1, 0.5), winner.run, TrainOptions(), 1)
    words = ["demo", "sweep.max_trials=3", "run.name=x", "data.uri=s3://a/b c", "run.storage=/r"]
    config = SweepConfig.load(None, words[1:])
    assert repeats(winner, SPACE, words, config, "bf16") == (
        "rayograph train demo train.epochs=9 optim.lr=0.5 model.norm=group optim.clip_norm=null "
        "train.precision=bf16 run.storage=/r run.name=x-s-winner 'data.uri=s3://a/b c'"
    )
    winner.params = {"optim.lr": 0.7}  # of a later handover
    assert "optim.lr=0.5" in str(repeats(winner, SPACE, words, config, "bf16"))
    winner.add(row(2, 0.6), f"{winner.run}-1a2b", TrainOptions(), 1)
    assert repeats(winner, SPACE, words, config, "bf16") is None, "no plain run has its schedule"


def test_what_has_not_ended_is_left_to_do_and_no_more_than_is_wanted() -> None:
    states = ("finished", "stopped", "diverged", "failed", "lost", "waiting", "waiting", "waiting")
    ledger = Ledger("", [trial(number, state=state) for number, state in enumerate(states)])
    ledger.trials[7].add(row(1, 0.5), "trial_00007", TrainOptions(), 1)
    assert [t.number for t in ledger.left(8)] == [3, 4, 5, 6, 7]
    assert [t.number for t in ledger.left(6)] == [3, 4, 5, 7], "what was begun is ended"


def test_a_sweep_begun_otherwise_is_refused_and_more_trials_are_not(tmp_path: Path) -> None:
    def begin(space: Space, *words: str) -> None:
        config = SweepConfig.load(None, [f"run.storage={tmp_path}", *words])
        SweepFolder.of(config, space).begin(config, space)

    begin(SPACE)
    begin(SPACE, "sweep.max_trials=99", "cluster.workers=2", "sweep.max_time=5")
    with pytest.raises(
        UserError, match=r"started with a different train.seed; give a new run.name"
    ):
        begin(SPACE, "train.seed=1")
    wider = Space("s", {"optim.lr": Domain("uniform", (0.0, 3.0))}, SPACE.overrides)
    with pytest.raises(UserError, match=r"started with a different space"):
        begin(wider)


def test_epochs_that_were_not_told_are_taken_in() -> None:
    found = trial(0, 0.5)
    found.review([row(1, 0.5), row(2, 0.9), row(3, 0.7)], TrainOptions(), 2)
    assert (found.epoch, found.seconds, found.last) == (3, 12, 0.7)
    assert found.best is not None
    assert found.best.epoch == 2


def test_an_undefined_metric_is_a_dash() -> None:
    found = trial(0)
    found.add(row(1, None), found.run, TrainOptions(), 1)
    assert found.best is not None
    assert found.best.score == -0.4, "the loss stands in"
    assert trials.best(found, "val_auroc") == "–"
    ended = Outcome(SweepFolder("x"), Ledger("", [found]), None, None, {}, None, 0)
    assert "–" in tables.sweep(trials.table([found], "val_auroc", 1), ended, "val_auroc")
