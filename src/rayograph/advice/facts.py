"""What the choices of a preset depend on in a packed dataset: counts, no samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from rayograph.data import inspection
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Split
from rayograph.errors import UserError, one_line


@dataclass(frozen=True)
class Counts:
    """Samples and patients of a split; how many samples have each class or label, and lack it.

    What is uncertain or missing is in neither.
    """

    films: int
    patients: int
    present: Mapping[str, int]
    absent: Mapping[str, int]

    @classmethod
    def of(cls, split: Split) -> "Counts":
        """The counts of a split of a dataset."""
        labels = split.labels
        present = {name: each.present for name, each in labels.items()}
        absent = {name: each.absent for name, each in labels.items()}
        return cls(split.rows, split.patients, present, absent)

    @property
    def fewest(self) -> int:
        """Samples of the rarest kind, present or absent, over all classes or labels."""
        return min([*self.present.values(), *self.absent.values()])

    def share(self, name: str) -> float:
        """The prevalence of a class or label among samples of which it is known."""
        known = self.present[name] + self.absent[name]
        return self.present[name] / known if known else 0.0


@dataclass(frozen=True)
class Facts:
    """A dataset that can be trained on.

    `side` is that of packed films in pixels, 0 of records; `widths` half the width of the 95 %
    interval of a test AUROC of 0.9 by class or label, None where it is undefined; `findings` what
    `pack` had to say.
    """

    uri: str
    name: str
    noun: str
    multilabel: bool
    side: int
    train: Counts
    val: Counts | None
    test: Counts | None
    folds: int = 0
    uncertain: int = 0
    widths: Mapping[str, float | None] | None = None
    findings: tuple[str, ...] = ()

    @property
    def table(self) -> bool:
        """Whether the samples are records, not films."""
        return not self.side

    def check(self) -> None:
        """Raise `UserError` where no training can come of it."""
        absent = [name for name, count in self.train.present.items() if not count]
        if absent:
            raise UserError(
                f"{self.uri}: no training {self.noun} of {one_line(', '.join(absent))}: nothing can"
                " be learned of it; pack again without it, or with more of it"
            )
        if self.train.films < 2:
            raise UserError(f"{self.uri}: 1 of the {self.noun} is for training; a step needs 2")


def of(dataset: Dataset) -> Facts:
    """The facts of a dataset, at its `fold`; `UserError` where it cannot be trained on."""
    manifest = dataset.manifest
    splits = {
        name: Counts.of(dataset.split(name)) if name in dataset.splits else None
        for name in ("val", "test")
    }
    train = dataset.split("train")
    found = Facts(
        uri=dataset.uri,
        name=manifest.name,
        noun=manifest.inputs.noun,
        multilabel=manifest.task == "multilabel",
        side=manifest.inputs.shape[0] if len(manifest.inputs.shape) > 1 else 0,
        train=Counts.of(train),
        val=splits["val"],
        test=splits["test"],
        folds=len(manifest.folds),
        uncertain=sum(each.uncertain for each in train.labels.values()),
        widths=inspection.auroc_widths(dataset.split("test")) if splits["test"] else None,
        findings=tuple(finding.message for finding in manifest.findings),
    )
    found.check()
    return found
