"""`plan`: a preset for a dataset, each choice with its reason; made-up datasets and packed ones."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rayograph.advice import case as cases
from rayograph.advice import facts as factual
from rayograph.advice import preset, timing
from rayograph.advice.case import Asked, Case, Machine, Weights
from rayograph.advice.facts import Counts, Facts
from rayograph.advice.rules import BOOK
from rayograph.config import PackOptions, RunConfig, documents
from rayograph.console import planning
from rayograph.data.inspection import AUROC
from rayograph.errors import UserError
from rayograph.pack import phantom, phantom_records
from rayograph.task.estimate import hanley_mcneil
from rayograph.train import local
from rayograph.train.estimate import Bill, Needs
from rayograph.train.stops import deaf
from tests.conftest import packing

NEEDS = Needs(0, 9, 9, 1, 9, 9, Bill.of(9, 9), 9, {"model": 9}, seconds=100.0)
STEP = timing.Measured(clock_seconds=2.0, cpu_seconds=1.9, steps=3, films=9)
HAND = Weights("resnet18", "IMAGENET1K_V1")


def split(multilabel: bool, sizes: list[int], empty: bool = False) -> Counts:
    """Classes of these sizes, or labels that so many of as many samples have."""
    films = max(sizes) + 3 if multilabel else sum(sizes)
    present = {f"c{i}": 0 if empty and not i else size for i, size in enumerate(sizes)}
    absent = {name: films - count for name, count in present.items()}
    return Counts(films, max(1, films // 2), present, absent)


@st.composite
def datasets(draw: st.DrawFn) -> Facts:
    """Films or records, classes or labels, tiny to huge, with and without the other splits."""
    multilabel, table = draw(st.booleans()), draw(st.booleans())
    count = draw(st.integers(1 if multilabel else 2, 5))
    size = st.one_of(st.integers(1, 9), st.integers(10, 3000), st.integers(10**4, 10**6))
    sizes = [draw(size) for _ in range(count)]
    beside = {
        name: split(multilabel, [max(1, n // 5) for n in sizes], empty=draw(st.booleans()))
        if draw(st.booleans())
        else None
        for name in ("val", "test")
    }
    test = beside["test"]
    return Facts(
        uri="/somewhere/d",
        name=draw(st.text(max_size=9)),
        noun="records" if table else "films",
        multilabel=multilabel,
        side=0 if table else draw(st.integers(16, 4096)),
        train=split(multilabel, sizes),
        folds=draw(st.sampled_from([0, 5])),
        uncertain=draw(st.integers(0, 9)),
        widths=test
        and {n: hanley_mcneil(AUROC, test.present[n], test.absent[n]) for n in test.present},
        findings=("one\n: more",) * draw(st.integers(0, 7)),
        **beside,
    )


machines = st.builds(Machine, cores=st.integers(1, 200), gpus=st.sampled_from([0, 1, 8]))
askers = st.builds(
    Asked,
    workers=st.none() | st.integers(1, 64),
    cpus=st.none() | st.integers(1, 8),
    gpus=st.none() | st.integers(0, 1),
)


def said(case: Case) -> str:
    """The preset of a case, its step not measured."""
    return preset.text(case, preset.choices(case), NEEDS, STEP, "f.yaml")


@settings(max_examples=30)  # YAML takes its time
@given(facts=datasets(), machine=machines, asked=askers, hand=st.sampled_from([None, HAND]))
def test_every_dataset_gets_a_preset_that_reads_as_its_config(
    facts: Facts, machine: Machine, asked: Asked, hand: Weights | None
) -> None:
    fold = 0 if facts.folds else None
    if asked.workers and 2 * asked.workers > facts.train.films:
        with pytest.raises(UserError, match="a worker needs 2"):
            cases.of(facts, fold, machine, asked, hand)
        return
    case = cases.of(facts, fold, machine, asked, hand)
    chosen = preset.choices(case)
    config = preset.config(case, chosen)
    text = said(case)
    assert RunConfig.parse(documents.parsed(text, "f")) == config
    assert text == said(case)
    lines = text.splitlines()
    assert max(map(len, (line for line in lines if line.startswith("  #")))) <= 100
    reasoned = [
        line.split(":")[0].strip()
        for before, line in pairwise(lines)
        if line.startswith("  ") and not line.startswith("  #") and before.startswith("  # ")
    ]
    assert reasoned == [choice.option.split(".")[1] for choice in chosen]
    train, workers = config.train, config.cluster.least
    assert 2 * workers <= train.batch_size <= facts.train.films
    assert not asked.workers or workers == asked.workers
    assert (train.final == "last") == (train.patience is None)
    assert facts.table or config.data.image_size <= max(facts.side, 16)
    assert facts.table == (config.model.name == "mlp")
    if config.model.weights:
        assert config.model.norm == "batch"
    if train.class_weights == "balanced":
        assert case.heaviest <= BOOK.numbers.heaviest


@given(facts=datasets(), more=st.integers(2, 1000))
def test_more_films_are_never_trained_for_more_epochs_or_in_smaller_batches(
    facts: Facts, more: int
) -> None:
    larger = replace(facts.train, films=facts.train.films * more)
    assume(not facts.table)
    few, many = (
        preset.config(case, preset.choices(case)).train
        for case in (
            cases.of(replace(facts, train=train), None, Machine(2, 0), Asked(), None)
            for train in (facts.train, larger)
        )
    )
    assert many.epochs <= few.epochs
    assert many.batch_size >= few.batch_size


def test_the_rules_name_only_what_there_is_and_none_is_hidden_by_one_before() -> None:
    seen: dict[str, list[set[str]]] = {}
    for rule in BOOK.rules:
        assert rule.option in RunConfig.fields()
        before = seen.setdefault(rule.option, [])
        assert not [other for other in before if other <= set(rule.when)], rule
        before.append(set(rule.when))
    for each in (*BOOK.rules, *BOOK.notes):
        assert all(isinstance(getattr(Case, name), property) for name in each.when)


def facts_of(train: list[int], **more: Any) -> Facts:
    """Films packed at 160 pixels, of classes of these sizes."""
    counts = split(more.get("multilabel", False), train)
    return Facts(
        "/d",
        "d",
        "films",
        more.pop("multilabel", False),
        160,
        counts,
        **{"val": None, "test": None, **more},
    )


def chosen_for(
    facts: Facts, machine: Machine | None = None, hand: Weights | None = None
) -> RunConfig:
    """The choices on two cores, unless said otherwise."""
    case = cases.of(facts, None, machine or Machine(2, 0), Asked(), hand)
    return preset.config(case, preset.choices(case))


def test_what_an_expert_would_look_at() -> None:
    found = chosen_for(facts_of([1147, 3304]))  # the paediatric films
    assert (found.data.image_size, found.data.normalize) == (80, "film")
    assert (found.augment.area, found.augment.gamma) == ((0.35, 1.0), 1.7)
    assert (found.train.epochs, found.train.batch_size, found.train.final) == (20, 64, "last")
    assert (found.train.class_weights, found.optim.weight_decay) == ("balanced", 0.05)
    assert (found.model.name, found.model.weights, found.cluster.workers) == ("resnet18", None, 2)
    assert chosen_for(facts_of([45, 55])).train.class_weights == "none"  # nearly even
    assert chosen_for(facts_of([3, 9000])).train.class_weights == "none"  # 1 film, 1,500 times
    few = chosen_for(facts_of([149, 110]))
    assert (few.model.name, few.model.norm, few.train.epochs) == ("cnn", "group", 60)
    assert chosen_for(facts_of([149, 110]), hand=HAND).model.weights == HAND.place
    assert chosen_for(facts_of([1147, 3304]), hand=HAND).model.weights is None
    large = chosen_for(facts_of([50_000, 50_000]), Machine(64, 8))
    assert (large.cluster.workers, large.cluster.gpus_per_worker) == (8, 1)
    assert (large.train.batch_size, large.optim.lr) == (256, 2e-3)
    labels = chosen_for(facts_of([500, 400], multilabel=True, uncertain=3))
    assert (labels.augment.area, labels.labels.uncertain) == ((0.5, 1.0), "smooth")


def test_what_cannot_be_learned_is_one_line() -> None:
    with pytest.raises(UserError, match="no training films of c1: nothing can be learned of it"):
        facts_of([5, 0]).check()
    with pytest.raises(UserError, match="1 of the films is for training"):
        replace(facts_of([1]), multilabel=True).check()


def test_a_busy_machine_is_told_by_its_cpu_time() -> None:
    busy = timing.Measured(clock_seconds=9.0, cpu_seconds=2.0, steps=3, films=8)
    assert (busy.busy, busy.seconds, busy.films_per_s) == (True, 2.0, 4.0)
    assert timing.Measured(9.0, None, 3, 8).seconds == 9.0  # of a GPU
    case = cases.of(facts_of([9, 9]), None, Machine(2, 0), Asked(), None)
    assert "9 s by the clock" in preset.text(case, preset.choices(case), NEEDS, busy, "f").replace(
        "\n# ", " "
    )
    assert "to measure it on is not here" in preset.text(case, [], NEEDS, None, "f").replace(
        "\n# ", " "
    )


def test_a_preset_of_films_trains_as_it_is(tmp_path: Path) -> None:
    phantom.write(tmp_path / "films", 40, seed=1, size=32)
    options = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)
    data = packing(tmp_path / "films", tmp_path / "two words", options)
    out = tmp_path / "p.yaml"
    planning.plan(data.uri, out=str(out), workers=1, cpus=1, gpus=0)
    text = out.read_text()
    lines = text.replace("\n# ", " ")
    assert re.search(r"films, packed at 32 pixels; \d+ for training \(\d+ patients\)", lines)
    assert re.search(r"Expect an AUROC of 0\.9 .* interval of ±0\.\d{3}", lines)
    assert re.search(r"Expect about \d+ s of training with 1 worker of 1 CPU each", lines)
    assert "rayograph sweep FOLDS.yaml folds" in text  # so small
    words = [f"run.storage={tmp_path}", "train.epochs=1", "model.name=cnn", "model.weights=null"]
    run = local.run(RunConfig.load(str(out), words), lambda _row: None, deaf)
    assert Path(run.best_model).exists()
    with pytest.raises(UserError, match="is there already"):
        planning.plan(data.uri, out=str(out))


def test_a_preset_of_records_in_folds_trains_as_it_is(tmp_path: Path) -> None:
    phantom_records.write(tmp_path / "t.csv", 12, seed=0)
    options = PackOptions(inputs="table", negative="rest", patient_column="person", folds=3)
    data = packing(tmp_path / "t.csv", tmp_path / "d", options)
    out = tmp_path / "p.yaml"
    planning.plan(data.uri, out=str(out))
    config = RunConfig.load(str(out), [f"run.storage={tmp_path}", "train.epochs=2"])
    assert (config.data.fold, config.model.name, config.augment) == (
        0,
        "mlp",
        type(config.augment)(),
    )
    assert Path(local.run(config, lambda _row: None, deaf).best_model).exists()
    assert (
        "The others are for training" in out.read_text()
        or "others are for training" in out.read_text()
    )


def test_a_dataset_without_training_films_is_one_line(tmp_path: Path) -> None:
    phantom.write(tmp_path / "films", 16, seed=1, size=32)
    data = packing(tmp_path / "films", tmp_path / "d", PackOptions(size=32, split="test"))
    with pytest.raises(UserError, match="no films in split train"):
        factual.of(data)
