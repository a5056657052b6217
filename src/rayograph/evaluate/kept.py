"""What a run keeps of a model, or what is found now: for commands that look at an evaluation."""

from collections.abc import Sequence

from rayograph.evaluate import evaluation
from rayograph.runs import card as cards
from rayograph.runs import evaluations
from rayograph.runs.evaluations import Evaluation


def judged(
    models: Sequence[str], name: str, run: str | None, data: str | None, split: str, command: str
) -> Evaluation:
    """An evaluation of a model, or of several together, of that `name`, on a split.

    What the `run` keeps of the same model is taken; else it is made, and kept as `evaluate` keeps
    it. Either is a look at test films, by `command`.
    """
    (model, *others) = models
    if run is not None and data is None and not others:
        found = evaluations.restored(run, split)
        if found is not None and is_of(found, model):
            evaluations.look(run, found, command)
            return found
    if others:
        found = evaluation.together(models, name, data, split)
    else:
        found = evaluation.evaluate(model, data, split)
    if run is not None and found.fingerprint == found.trained_on:
        evaluations.save(found, run, command)
    else:
        evaluations.look(run, found, command)
    return found


def is_of(found: Evaluation, model: str) -> bool:
    """Whether an evaluation is of the model that now lies there, wherever its run lay then."""
    card = cards.read(model)
    theirs = (card.epoch, card.fingerprint, card.classes, card.operating_points, card.temperature)
    own = (found.epoch, found.trained_on, found.classes, found.operating_points, found.temperature)
    return theirs == own
