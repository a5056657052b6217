"""Whether a model has seen the films that it is judged on."""

from typing import Any

import pyarrow as pa

from rayograph import storage
from rayograph.data import index
from rayograph.data.dataset import MANIFEST, Dataset
from rayograph.errors import Failure, UserError, one_line
from rayograph.runs.card import ModelCard
from rayograph.runs.evaluations import Overlap

CROSSING = "patient_in_two_splits"  # a finding of `pack`


def overlap(card: ModelCard, dataset: Dataset, split: str, films: Any) -> Overlap | None:
    """What judged films share with the training and validation films of a model, if it is known.

    `films` are their rows of the index. A film is shared where its original is the
    same, byte for byte. None for the test films of the model's own dataset.
    """
    if dataset.manifest.fingerprint == card.fingerprint:
        own = dataset.split(split)
        return None if split == "test" else Overlap(own.rows, own.patients)
    try:
        trained = trained_on(card)
        splits = [name for name in ("train", "val") if name in trained.splits]
        known = pa.concat_tables([index.read(trained, name) for name in splits])
    except (UserError, Failure) as error:
        return Overlap(None, unknown=one_line(error))

    def shared(column: str) -> list[str]:
        values = set(known.column(column).to_pylist())
        return [value for value in films.column(column).to_pylist() if value in values]

    patients = len(set(shared("patient_id"))) if _identified(trained, dataset) else None
    return Overlap(len(shared("sha256")), patients)


def known_patients(dataset: Dataset, films: Any) -> Any:
    """`yes` or `no` for each film: whether training or validation has its patient, too.

    None where no patient is in two splits, as only a source's own splits have them.
    """
    if all(each.kind != CROSSING for each in dataset.manifest.findings):
        return None
    others = [name for name in ("train", "val") if name in dataset.splits]
    known = {
        p for name in others for p in index.read(dataset, name).column("patient_id").to_pylist()
    }
    own = films.column("patient_id").to_pylist()
    return pa.array(["yes" if patient in known else "no" for patient in own])


def trained_on(card: ModelCard) -> Dataset:
    """The dataset that a model was trained on; `UserError` where it is no longer there."""
    place = card.dataset
    if not storage.exists(storage.join(place, MANIFEST)):
        raise UserError(f"the dataset that it was trained on is not at {place}")
    found = Dataset.open(place, fold=card.fold)
    if found.manifest.fingerprint != card.fingerprint:
        raise UserError(f"at {place} there is now another dataset than it was trained on")
    return found


def _identified(*datasets: Dataset) -> bool:
    """Whether each has ids of patients: without, a film's name stands for its patient."""
    kinds = {finding.kind for dataset in datasets for finding in dataset.manifest.findings}
    return "patients_unknown" not in kinds
