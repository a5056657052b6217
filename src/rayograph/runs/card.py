"""The card in a model file's header: all that is needed to use its weights, without a run."""

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from rayograph import storage
from rayograph import task as tasks
from rayograph.config import ModelOptions
from rayograph.data.manifest import Classes, TaskName
from rayograph.data.recipe import Recipe, TransformSpec
from rayograph.errors import UserError, one_line
from rayograph.task import OperatingPoints, operating
from rayograph.task.operating import YOUDEN

MODEL = "model.safetensors"  # its name in a checkpoint and in best/
FORMAT = "rayograph-model-2"
Limit = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
DAMAGED = (KeyError, TypeError, ValueError, RecursionError)  # what damaged JSON ends in


class ModelCard(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a model file's header says.

    `temperature` and `operating_points` were chosen on the validation split; the points are
    probabilities of logits that are divided by the temperature, which is 1 where nothing chose it.
    So were `unlike`, the distances from which a sample is unlike its samples, by the name of what
    they are measured in; and `band`, the probabilities of the second of two classes between which
    a model abstains. Both are None where nothing chose them.
    """

    model: ModelOptions
    task: TaskName
    classes: Classes
    recipe: Recipe
    transform: TransformSpec
    operating_points: OperatingPoints
    operating_rule: str = YOUDEN  # that chose them
    temperature: float = Field(1.0, gt=0)  # the network's logits are divided by it
    unlike: dict[str, Limit] | None = None
    band: tuple[Probability, Probability] | None = None
    dataset: str  # URI
    fingerprint: str
    fold: int | None = None  # the one that validated
    run: str
    epoch: int
    metrics: dict[str, float | None]

    def metadata(self) -> dict[str, str]:
        """What goes into the header of a safetensors file."""
        return {"format": FORMAT, "card": self.model_dump_json()}


def parse(metadata: Mapping[str, str], place: str) -> ModelCard:
    """The card in a model file's metadata; `UserError` where it is none."""
    try:
        return ModelCard.model_validate_json(metadata["card"])
    except DAMAGED as error:
        raise UserError(f"{place}: not a model of rayograph: {one_line(error)}") from None


def read(uri: str) -> ModelCard:
    """The card of the model file at `uri`."""
    return of(storage.fetch(uri), uri)


def of(data: bytes, uri: str) -> ModelCard:
    """The card of a model file's bytes, which lay at `uri`, from its header alone."""
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    except DAMAGED as error:
        raise UserError(f"{uri}: not a model of rayograph: {one_line(error)}") from None
    return parse(metadata, uri)


def page(card: ModelCard) -> str:
    """`MODEL_CARD.md`, for people."""
    metrics = "\n".join(
        f"| {found.heading} | {found.written(value)} |"
        for name, value in card.metrics.items()
        for found in [tasks.column(f"val_{name}").metric]
    )
    points = zip(
        tasks.of(card.task, card.classes).pointed, card.operating_points or (), strict=False
    )
    from_these = ", ".join(f"`{name}` from {p:.3f}" for name, p in points if p is not None)
    threshold = from_these and (
        f"What a film counts as, by its probability: {from_these}; that "
        f"{operating.rule(card.operating_rule, card.run).words} on the validation films.\n"
    )
    warmth = "none was fitted" if card.temperature == 1 else f"{card.temperature:.3f}"
    judged = f"""Temperature of its probabilities, by the validation films: {warmth}.

| on the validation films, before temperature | |
| --- | --- |
{metrics}

Selected on these films, so they flatter it: judge it by `rayograph evaluate` on the test films."""
    if not card.metrics:
        judged = """No validation films: this is the last epoch, decides at 0.5, no temperature
was fitted. Judge it by `rayograph evaluate` on the test films."""
    return f"""# {card.run}, epoch {card.epoch}

`{card.model.name}` tells {", ".join(f"`{name}`" for name in card.classes)} ({card.task}) of
{card.recipe.words}, {card.transform.words}.
Trained on `{card.dataset}` (fingerprint `{card.fingerprint[:12]}`).
{threshold}{judged}
Not for clinical use: nobody has tested it on your patients, your machines and your prevalence.
"""
