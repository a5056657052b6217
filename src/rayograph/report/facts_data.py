"""What a run's folder knows of the data: a sentence for each subject."""

from collections.abc import Iterator, Mapping
from typing import Any

from rayograph.data.card import DataCard
from rayograph.data.census import Counted
from rayograph.report import words
from rayograph.report.view import RunReport


def card_of(report: RunReport) -> DataCard | None:
    """The data card; None where the dataset could not be read."""
    return report.data if isinstance(report.data, DataCard) else None


def of(report: RunReport, group: str) -> Mapping[str, Any]:
    """A group of the config; empty where it was not kept."""
    found = report.config.get(group)
    return found if isinstance(found, Mapping) else {}


def source(report: RunReport) -> Iterator[str]:
    """Which dataset."""
    if data := card_of(report):
        films = sum(split.films for split in data.splits.values())
        yield f"The packed dataset {data.name} at {data.uri}: {films:,} {data.noun}."
    elif report.card:
        yield f"The packed dataset at {report.card.dataset}."


def excluded(report: RunReport) -> Iterator[str]:
    """What could not be used."""
    if data := card_of(report):
        yield f"{sum(data.rejected.values()):,} originals could not be used{reasons(data)}."
        ignored = sum(data.ignored.values())
        if ignored:
            yield f"{ignored:,} files that are no {data.noun} were ignored."


def reasons(data: DataCard) -> str:
    """Why originals were of no use."""
    told = [f"{count:,} {reason}" for reason, count in data.rejected.items()]
    return f" ({words.listed(told, 4)})" if told else ""


def included(report: RunReport) -> Iterator[str]:
    """Films and patients of each split."""
    if data := card_of(report):
        told = [
            f"{name} {split.films:,} {data.noun} of {split.patients:,} patients"
            for name, split in data.splits.items()
        ]
        yield f"{'; '.join(told)}."
    elif report.judged:
        view = report.judged
        yield f"{view.split} {view.films:,} {view.noun} of {view.patients:,} patients."


def deidentified(report: RunReport) -> Iterator[str]:
    """What became of identifiers."""
    data = card_of(report)
    if data and data.salted:
        yield "Identifiers and dates of DICOM are kept as salted hashes only, and no names."


def acquisition(report: RunReport) -> Iterator[str]:
    """Views, makers and modalities."""
    data = card_of(report)
    for name, split in (data.splits if data else {}).items():
        told = [
            f"{column} {_counts(of)}"
            for column, of in split.census.columns.items()
            if column in ("view", "manufacturer", "modality") and of.counts
        ]
        if told:
            yield f"{name}: {'; '.join(told)}."


def _counts(column: Counted) -> str:
    return words.listed([f"{value} {count:,}" for value, count in column.counts.items()], 4)


def demographics(report: RunReport) -> Iterator[str]:
    """Ages and sexes of each split."""
    data = card_of(report)
    for name, split in (data.splits if data else {}).items():
        told = []
        if ages := split.census.ages:
            told.append(f"median age {ages.median:g} ({ages.youngest:g} to {ages.oldest:g})")
        if (sex := split.census.columns.get("sex")) and sex.counts:
            told.append(_counts(sex))
        if told:
            yield f"{name}: {'; '.join(told)}."


def partitions(report: RunReport) -> Iterator[str]:
    """The share of each split."""
    if data := card_of(report):
        films = sum(split.films for split in data.splits.values())
        shares = [f"{name} {split.films / films:.0%}" for name, split in data.splits.items()]
        yield f"{words.listed(shares)} of the {data.noun}."
        if data.fold is not None:
            yield f"Fold {data.fold} of {data.folds} validated."


def disjoint(report: RunReport) -> Iterator[str]:
    """Whether splits share patients."""
    if data := card_of(report):
        shared = [each for each in data.shared if each.patients]
        if not data.patients_known:
            yield f"By {data.noun.removesuffix('s')}: patients are not known."
        elif not shared:
            yield "By patient: no patient is in two splits."
        for each in shared if data.patients_known else ():
            yield f"{each.first} and {each.second} share {each.patients:,} patients."


def imbalance(report: RunReport) -> Iterator[str]:
    """Prevalence in training, and what was done about it."""
    data = card_of(report)
    if data and "train" in data.splits:
        told = [
            f"{name} {found.prevalence:.1%}" for name, found in data.splits["train"].labels.items()
        ]
        weights = of(report, "train").get("class_weights")
        yield f"Of the training {data.noun}: {words.listed(told, 14)}; class weights: {weights}."


def comparison(report: RunReport) -> Iterator[str]:
    """Prevalence in training and test."""
    data = card_of(report)
    if data and {"train", "test"} <= {*data.splits}:
        train, test = data.splits["train"].labels, data.splits["test"].labels
        told = [
            f"{name} {train[name].prevalence:.1%} in training, {test[name].prevalence:.1%} in test"
            for name in train
        ]
        yield f"Prevalence: {'; '.join(told[:14])}."
