"""A model file: weights, and a header that says all that is needed to use them without a run."""

import json
from collections.abc import Mapping
from typing import Annotated

import safetensors.torch
from pydantic import BaseModel, Field
from torch import Tensor

from rayograph.config import ModelOptions
from rayograph.data.dataset import MOST_CLASSES, Recipe
from rayograph.errors import UserError, one_line

MODEL = "model.safetensors"  # its name in a checkpoint and in best/
FORMAT = "rayograph-model-1"
DAMAGED = (KeyError, TypeError, ValueError, RecursionError)  # what damaged JSON ends in


class ModelCard(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a model file's header says: all that is needed to use the model, without a run."""

    model: ModelOptions
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_CLASSES)]
    image_size: Annotated[int, Field(ge=16, le=2048)]
    recipe: Recipe
    mean: Annotated[float, Field(ge=0, le=1)]
    std: Annotated[float, Field(gt=0, le=1)]
    threshold: float | None  # of the second class's probability, chosen on the validation split
    dataset: str  # URI
    fingerprint: str
    run: str
    epoch: int
    metrics: dict[str, float | None]


def to_bytes(state: Mapping[str, Tensor], card: ModelCard) -> bytes:
    """One safetensors object with the card in its header."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    header = {"format": FORMAT, "card": card.model_dump_json()}
    return safetensors.torch.save(tensors, metadata=header)


def from_bytes(data: bytes, place: str) -> tuple[ModelCard, dict[str, Tensor]]:
    """The card and the tensors of a model file; `UserError` where it is none."""
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        card = ModelCard.model_validate_json(header["__metadata__"]["card"])
        return card, safetensors.torch.load(data)
    except (*DAMAGED, safetensors.SafetensorError) as error:
        raise UserError(f"{place}: not a model of rayograph: {one_line(error)}") from None


def page(card: ModelCard) -> str:
    """`MODEL_CARD.md`, for people."""
    metrics = "\n".join(
        f"| {name} | {'undefined' if value is None else f'{value:.4f}'} |"
        for name, value in card.metrics.items()
    )
    threshold = "" if card.threshold is None else (
        f"A film counts as `{card.classes[1]}` from a probability of {card.threshold:.3f}, "
        "which maximises sensitivity + specificity on the validation films.\n"
    )  # fmt: skip
    return f"""# {card.run}, epoch {card.epoch}

`{card.model.name}` tells {", ".join(f"`{name}`" for name in card.classes)} apart on frontal chest
films, packed at {card.recipe.size} pixels (`{card.recipe.resize}`) and seen at {card.image_size}.
Trained on `{card.dataset}` (fingerprint `{card.fingerprint[:12]}`).
{threshold}
| on the validation films | |
| --- | --- |
{metrics}

Selected on these films, so they flatter it: judge it by `rayograph evaluate` on the test films.
Not for clinical use: nobody has tested it on your patients, your machines and your prevalence.
"""
