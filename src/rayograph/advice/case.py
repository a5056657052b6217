"""A dataset on its machines: the figures that rules look at, and how a batch is shared out."""

import math
from dataclasses import dataclass

from rayograph.advice.facts import Counts, Facts
from rayograph.advice.rules import BOOK
from rayograph.errors import UserError

LINES = BOOK.numbers


@dataclass(frozen=True)
class Machine:
    """Cores and GPUs that this process may use."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class Weights:
    """ImageNet weights that can be had here without asking anybody: a model and a name or path."""

    model: str
    place: str


@dataclass(frozen=True)
class Asked:
    """What somebody has said about the workers; None is for us to choose."""

    workers: int | None = None
    cpus: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Case:
    """The facts of a dataset, and the batch, workers, cores and GPUs (0 or 1) of each worker.

    Everything that `rules.yaml` names is a property of it.
    """

    facts: Facts
    fold: int | None
    weights: Weights | None
    batch: int
    workers: int
    cpus: int
    gpus: int

    @property
    def train(self) -> Counts:
        """The counts of the training split."""
        return self.facts.train

    @property
    def films(self) -> int:
        """Training samples."""
        return self.facts.train.films

    @property
    def of_films(self) -> bool:
        """Samples are films."""
        return not self.facts.table

    @property
    def of_records(self) -> bool:
        """Samples are rows of a table."""
        return self.facts.table

    @property
    def of_labels(self) -> bool:
        """A sample has several labels, each by itself."""
        return self.facts.multilabel

    @property
    def folded(self) -> bool:
        """The dataset is packed in folds."""
        return self.facts.folds > 0

    @property
    def whole(self) -> bool:
        """The dataset is not packed in folds."""
        return not self.folded

    @property
    def untested(self) -> bool:
        """There is no test split."""
        return self.facts.test is None

    @property
    def unvalidated(self) -> bool:
        """There is no validation split."""
        return self.facts.val is None

    @property
    def on_gpu(self) -> bool:
        """Each worker has a GPU."""
        return self.gpus > 0

    @property
    def share(self) -> int:
        """Samples of a step for a worker."""
        return self.batch // self.workers

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.films // self.batch)

    @property
    def few(self) -> bool:
        """Training films are few for a large model without outside weights."""
        return self.films < LINES.few_films

    @property
    def narrow(self) -> bool:
        """A worker's share of a step is too small for batch norm."""
        return self.share < LINES.norm_share

    @property
    def pretrained(self) -> bool:
        """Weights are at hand, films are few, and shares large enough for the weights' norm."""
        able = self.of_films and self.weights is not None and not self.narrow
        return able and self.films < LINES.pretrained_below

    @property
    def uncertain(self) -> bool:
        """Some labels are uncertain."""
        return self.facts.multilabel and self.facts.uncertain > 0

    @property
    def rarest(self) -> float:
        """The smallest prevalence of a class or label in training, 0 to 1."""
        return min(self.train.share(name) for name in self.train.present)

    @property
    def uneven(self) -> bool:
        """Some class has less than 0.8 of an even share, of two less than 0.4; as has a label."""
        kinds = 2 if self.facts.multilabel else len(self.train.present)
        return self.rarest < LINES.uneven * 2 / kinds

    @property
    def heaviest(self) -> float:
        """The largest weight that `train.class_weights=balanced` would give a sample."""
        if self.facts.multilabel:
            pairs = [(self.train.absent[name], n) for name, n in self.train.present.items()]
            return max(absent / present for absent, present in pairs)
        return 1 / (len(self.train.present) * self.rarest)

    @property
    def heavy(self) -> bool:
        """Balanced weights would let single samples make the steps."""
        return self.heaviest > LINES.heaviest

    @property
    def val_fewest(self) -> int:
        """Validation samples of the rarest kind; 0 without a validation split."""
        return self.facts.val.fewest if self.facts.val else 0

    @property
    def pointed(self) -> bool:
        """An operating point is chosen: of two classes, or of each label."""
        kinds = self.facts.multilabel or len(self.train.present) == 2
        return kinds and self.facts.val is not None

    @property
    def stops_early(self) -> bool:
        """Records, and enough of each kind to validate on."""
        return self.of_records and self.val_fewest >= LINES.judges

    @property
    def small(self) -> bool:
        """One cut into training and testing says little."""
        tested = self.facts.test.fewest if self.facts.test else 0
        return self.films < LINES.small_training or tested < LINES.small_test

    @property
    def image_size(self) -> int:
        """A multiple of 16 pixels that the crops at evaluation have."""
        most = LINES.gpu_pixels if self.gpus else LINES.cpu_pixels
        return max(16, min(int(LINES.crop * self.facts.side), most) // 16 * 16)

    @property
    def epochs(self) -> int:
        """By the number of training samples."""
        fewest = LINES.epochs[-1][1]  # for whatever is more
        return next((count for most, count in LINES.epochs if self.films <= most), fewest)

    @property
    def rate(self) -> float:
        """The learning rate: larger batches take the root of their ratio."""
        return float(f"{LINES.rate * math.sqrt(max(1.0, self.batch / LINES.rate_batch)):.2g}")


def of(
    facts: Facts, fold: int | None, machine: Machine, asked: Asked, weights: Weights | None
) -> Case:
    """The case of a dataset on a machine, as far as nobody has asked for something else.

    `UserError` where the training samples are too few for the workers that were asked for.
    """
    gpus = min(machine.gpus, 1) if asked.gpus is None else asked.gpus
    films, table = facts.train.films, facts.table
    own = _batch(films, table)
    workers = asked.workers or _workers(own, films, machine, gpus, table)
    share = 2 if table else LINES.gpu_share if gpus else LINES.cpu_share
    batch = min(max(own, share * workers), films)
    if batch < 2 * workers:
        raise UserError(
            f"--workers {workers}: a worker needs 2 {facts.noun} a step, and {films} are for "
            f"training; use at most {films // 2}"
        )
    threads = 1 if table else max(1, machine.cores // workers)
    return Case(facts, fold, weights, batch, workers, asked.cpus or threads, gpus)


def _batch(films: int, table: bool) -> int:
    """The largest power of two that leaves an epoch its steps, between least and most."""
    least, most = LINES.record_batch if table else LINES.film_batch
    steps = LINES.record_steps if table else LINES.film_steps
    fitting = 1 << int(math.log2(max(films / steps, 1)))
    return min(max(least, min(fitting, most)), films)


def _workers(batch: int, films: int, machine: Machine, gpus: int, table: bool) -> int:
    if table:
        return 1
    if gpus:
        return max(1, min(machine.gpus, films // (LINES.gpu_share * LINES.film_steps)))
    return max(1, min(machine.cores, LINES.most_cpu_workers, batch // LINES.cpu_share))
