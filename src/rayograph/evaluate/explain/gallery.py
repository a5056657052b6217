"""The gallery: films of a split with what the model said, its maps, and the check of the maps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from rayograph.data import sampling
from rayograph.data.inputs import Samples
from rayograph.data.recipe import ImageTransform
from rayograph.errors import UserError, one_line
from rayograph.evaluate import kept
from rayograph.evaluate.evaluation import opened
from rayograph.evaluate.explain import choice, pictures, randomised
from rayograph.evaluate.explain.choice import Group
from rayograph.evaluate.explain.maps import (
    GRAD_CAM,
    GRADIENT,
    LogOdds,
    Map,
    cam_layer,
    layer_of,
    maps,
    together,
)
from rayograph.evaluate.model import LoadedModel
from rayograph.runs.evaluations import Evaluation
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN

NAME = "gallery"  # of the finding
CHECKED = 16  # films that the maps are checked on
STATES = {PRESENT: "present", ABSENT: "absent", UNCERTAIN: "uncertain", MISSING: "not known"}


@dataclass(frozen=True)
class Asked:
    """What is to be explained: without `films`, those that `choice.groups` picks."""

    split: str
    films: Sequence[str] = ()
    label: str | None = None
    layer: str | None = None


def gallery(model_uri: str, run: str | None, data: str | None, asked: Asked) -> dict[str, Any]:
    """The gallery as JSON, with its pictures as data URIs; see docs/formats.md.

    The films are chosen by the predictions that the `run` keeps of this model; where it keeps none
    they are made. `UserError` of a model of records, of a film that is not in the
    split, a label that the model does not know, and a layer without feature maps.
    """
    model, dataset = opened(model_uri, data)
    cam_layer(model.card.model.name)  # raises, before anything is predicted
    if asked.label is not None and asked.label not in model.task.classes:
        known = one_line(", ".join(model.task.classes))
        raise UserError(f"--label {asked.label}: the model does not know it; it knows {known}")
    found = kept.judged([model_uri], model_uri, run, data, asked.split, "explain")
    groups = _groups(model, found, asked)
    if not groups:
        raise UserError(f"{found.dataset}: no {asked.split} film has a label that is known")
    rows = sorted({row for group in groups for row in group.rows})
    films = dict(zip(rows, sampling.at(dataset, found.predictions, rows), strict=True))
    device = next(model.network.parameters()).device
    pairs = [*dict.fromkeys(p for g in groups for p in zip(g.rows, g.outputs, strict=True))]
    samples = torch.from_numpy(np.stack([films[row] for row, _ in pairs])).to(device)
    inputs = model.transform.views(samples)
    outputs = torch.tensor([output for _, output in pairs], device=device)
    network = LogOdds(model.network.requires_grad_(False), model.task).eval()
    layer = layer_of(model.card.model.name, network, inputs[-1], asked.layer)
    sees = model.card.transform
    assert isinstance(sees, ImageTransform)  # or `cam_layer` would have raised
    made = together([maps(network, layer, view, outputs) for view in inputs], sees.corners)
    own = {pair: {name: each[i] for name, each in made.items()} for i, pair in enumerate(pairs)}
    some = np.linspace(0, len(pairs) - 1, min(CHECKED, len(pairs))).round().astype(int)
    check = randomised.check(network, layer, inputs[-1][some], outputs[some])
    return {
        "split": asked.split,
        "dataset": dataset.uri,
        "model": model_uri,
        "epoch": found.epoch,
        "label": asked.label,
        "layer": asdict(layer),
        "views": len(inputs),
        "groups": [_told(model, found, group, films, own) for group in groups],
        "left_out": _left_out(model, groups, asked),
        "check": check,
    }


def without_pictures(document: Mapping[str, Any]) -> dict[str, Any]:
    """The gallery for a terminal or another program: all but the pictures."""
    groups = [
        {
            **group,
            "films": [
                {k: v for k, v in each.items() if k != "pictures"} for each in group["films"]
            ],
        }
        for group in document["groups"]
    ]
    return {**document, "groups": groups}


def _groups(model: LoadedModel, found: Evaluation, asked: Asked) -> list[Group]:
    labels, logits = found.arrays()
    task, points = model.task, found.operating_points
    probabilities = task.probabilities(logits)
    if not asked.films:
        return choice.groups(task, labels, probabilities, points, asked.label)
    places = {name: i for i, name in enumerate(found.predictions.column("sample_id").to_pylist())}
    for name in asked.films:
        if name not in places:
            raise UserError(
                f"--film {one_line(name)}: no such film in {asked.split} of {found.dataset}; give "
                "its sample_id, as in predictions.parquet, and its --split"
            )
    rows = [*dict.fromkeys(places[name] for name in asked.films)]
    return [choice.explained(task, probabilities, points, rows, asked.label)]


def _left_out(model: LoadedModel, groups: Sequence[Group], asked: Asked) -> list[str]:
    """The classes or labels of which no film is shown."""
    if asked.films or (asked.label is not None and model.task.by_label):
        return []
    shown = {group.name for group in groups}
    return [name for name in model.task.classes if name not in shown]


def _told(
    model: LoadedModel,
    found: Evaluation,
    group: Group,
    films: Mapping[int, Samples],
    own: Mapping[tuple[int, int], Mapping[str, Map]],
) -> dict[str, Any]:
    """A group as JSON."""
    return {
        "kind": group.kind,
        "name": group.name,
        "films": list(_films(model, found, group, films, own)),
    }


def _films(
    model: LoadedModel,
    found: Evaluation,
    group: Group,
    films: Mapping[int, Samples],
    own: Mapping[tuple[int, int], Mapping[str, Map]],
) -> Iterator[dict[str, Any]]:
    """Each film of a group: truth, decision and probability, where its maps are, its pictures."""
    labels, logits = found.arrays()
    task, ids = model.task, found.predictions.column("sample_id")
    for row, output in zip(group.rows, group.outputs, strict=True):
        probabilities = task.probabilities(logits[[row]])
        decided = task.decide(probabilities, found.operating_points)[0]
        if task.by_label:
            truth = STATES[int(labels[row, output])]
            decision = STATES[PRESENT if decided[output] else ABSENT]
        else:
            truth = task.classes[int(labels[row].argmax())]
            decision = task.classes[int(decided.argmax())]
        cam, gradient = own[row, output][GRAD_CAM], own[row, output][GRADIENT]
        yield {
            "sample_id": ids[row].as_py(),
            "explained": task.classes[output],
            "truth": truth,
            "decision": decision,
            "probability": float(probabilities[0, output]),
            "strongest": {
                GRAD_CAM: pictures.strongest(cam),
                GRADIENT: pictures.strongest(gradient),
            },
            "pictures": {
                "film": pictures.film(films[row]),
                GRAD_CAM: pictures.overlay(films[row], cam),
                GRADIENT: pictures.gradient(gradient),
            },
        }
