"""The rules by which a preset is chosen, read from `rules.yaml`, where each has its reason."""

from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel

Span = tuple[int, int]
FIGURE = "="  # what a value begins with that is a figure of the case


class Numbers(BaseModel, frozen=True, extra="forbid"):
    """Where the rules draw their lines; each is explained in `rules.yaml`."""

    epochs: tuple[Span, ...]
    film_batch: Span
    film_steps: int
    record_batch: Span
    record_steps: int
    cpu_share: int
    gpu_share: int
    most_cpu_workers: int
    crop: float
    cpu_pixels: int
    gpu_pixels: int
    norm_share: int
    few_films: int
    pretrained_below: int
    uneven: float
    heaviest: float
    judges: int
    rate: float
    rate_batch: int
    small_training: int
    small_test: int


class Condition(BaseModel, frozen=True, extra="forbid"):
    """`when` names what must all be true of a case."""

    when: tuple[str, ...] = ()

    def holds(self, case: object) -> bool:
        """Whether it is of this case."""
        return all(getattr(case, name) for name in self.when)


class Rule(Condition, frozen=True, extra="forbid"):
    """An `option` has this `value` because of `why`, a template of the case's figures."""

    option: str
    value: Any
    why: str

    def valued(self, case: object) -> Any:
        """The value for a case."""
        if not (isinstance(self.value, str) and self.value.startswith(FIGURE)):
            return self.value
        found: Any = case
        for name in self.value.removeprefix(FIGURE).split("."):
            found = getattr(found, name)
        return found


class Note(Condition, frozen=True, extra="forbid"):
    """What a reader should know that no option says, and commands that help, with `{file}`."""

    text: str
    commands: tuple[str, ...] = ()


class Book(BaseModel, frozen=True, extra="forbid"):
    """All of `rules.yaml`."""

    numbers: Numbers
    rules: tuple[Rule, ...]
    notes: tuple[Note, ...]


BOOK = Book.model_validate(
    yaml.safe_load(files(__package__).joinpath("rules.yaml").read_text("utf-8"))
)
