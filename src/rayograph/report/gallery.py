"""The gallery of films and maps, and in words whether the maps can be believed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rayograph.report.words import NONE

NAMES = {"grad_cam": "Grad-CAM", "input_gradient": "The input gradient"}
KINDS = {
    "right": "most certain, and right",
    "wrong": "most certain, and wrong",
    "unsure": "least certain",
}
FINE = 5  # cells across: fewer say little of where

Document = Mapping[str, Any]


def view(found: Document) -> Mapping[str, Any]:
    """What the section shows."""
    return {
        "split": found["split"],
        "verdicts": [(_doubtful(found, name), told) for name, told in _verdicts(found)],
        "notes": notes(found),
        "layer": found["layer"]["name"],
        "groups": _together(found["groups"]),
        "films": found["check"]["films"],
        "draws": found["check"]["draws"],
        "head": ["Drawn anew", *(name.removeprefix("The ") for name in NAMES.values())],
        "rows": [*_stages(found)],
    }


def doubts(found: Document) -> Sequence[str]:
    """The maps that do not depend on the weights."""
    return [told for name, told in _verdicts(found) if _doubtful(found, name)]


def verdicts(found: Document) -> list[str]:
    """A sentence on each kind of map: whether it depends on the weights."""
    return [told for _, told in _verdicts(found)]


def notes(found: Document) -> list[str]:
    """What to know before the pictures are looked at."""
    said = []
    height, width = found["layer"]["cells"]
    if min(height, width) < FINE:
        told = f"Grad-CAM has {height} × {width} cells here, and can tell no smaller places apart."
        finer = found["layer"]["finer"]
        cure = f" --layer {finer} has finer maps, of simpler features." if finer else ""
        said.append(told + cure)
    if found.get("views", 1) > 1:
        said.append(
            f"The model sees {found['views']} crops of a film: a map is the mean of theirs, each "
            "put where it lies; what fewer crops see counts less."
        )
    if found["left_out"]:
        said.append(f"No film is shown of {', '.join(found['left_out'])}.")
    return said


def title(group: Document) -> str:
    """A group of films in words."""
    if group["kind"] == "chosen":
        return "Chosen films"
    return f"{group['name']}: {KINDS[group['kind']]}"


def said(film: Document) -> str:
    """Truth, decision and probability of a film in a sentence's words."""
    return (
        f"truth {film['truth']}, decided {film['decision']}, "
        f"p({film['explained']}) = {film['probability']:.3f}"
    )


def _together(groups: Sequence[Document]) -> list[dict[str, Any]]:
    """The groups under their titles; of one film each, those of a label beside each other."""
    if any(len(group["films"]) > 1 or not group["name"] for group in groups):
        return [
            {"title": title(group), "films": [_film(each, "") for each in group["films"]]}
            for group in groups
        ]
    found: dict[str, list[Any]] = {}
    for group in groups:
        kind = KINDS[group["kind"]]
        found.setdefault(group["name"], []).extend(_film(each, kind) for each in group["films"])
    return [{"title": name, "films": films} for name, films in found.items()]


def _film(film: Document, kind: str) -> Mapping[str, Any]:
    """A film's pictures with what they are, for those who do not see them."""
    name, of = film["sample_id"], film["explained"]
    where = film["strongest"]
    cam = f"strongest {where['grad_cam']}" if where["grad_cam"] else "empty: nothing speaks for it"
    gradient = f"strongest {where['input_gradient']}" if where["input_gradient"] else "even"
    return {
        "name": name,
        "kind": kind,
        "explained": of,
        "said": said(film),
        "empty": where["grad_cam"] is None,
        "pictures": [
            (film["pictures"]["film"], f"Film {name}: {said(film)}"),
            (film["pictures"]["grad_cam"], f"Grad-CAM of {name} for {of}: {cam}"),
            (film["pictures"]["input_gradient"], f"Input gradient of {name} for {of}: {gradient}"),
        ],
    }


def _doubtful(found: Document, name: str) -> bool:
    return found["check"]["methods"][name]["depends"] is False


def _verdicts(found: Document) -> Iterator[tuple[str, str]]:
    check = found["check"]
    for name, method in check["methods"].items():
        last, heading = method["stages"][-1], NAMES[name]
        if last["spearman"] is None:
            yield (
                name,
                f"Whether {heading} depends on the weights cannot be told: its maps are empty.",
            )
            continue
        measured = (
            f"with all weights drawn anew, rank correlation {last['spearman']:.2f} with the "
            f"trained model's maps, over {check['films']} films and {check['draws']} draws"
        )
        if method["depends"]:
            yield name, f"{heading}: maps depend on the weights ({measured})."
        else:
            yield (
                name,
                f"{heading}: maps hardly change when the weights are randomised ({measured}). "
                "They show the film more than what the model has learned: do not read them as its "
                "reasons.",
            )


def _stages(found: Document) -> Iterator[list[str]]:
    methods = found["check"]["methods"].values()
    for stages in zip(*(method["stages"] for method in methods), strict=True):
        yield [stages[0]["stage"], *map(_cell, stages)]


def _cell(stage: Document) -> str:
    if stage["spearman"] is None:
        return NONE
    told = f"{stage['spearman']:.2f} ({stage['low']:.2f} to {stage['high']:.2f})"
    return f"{told}; {stage['empty']} of {stage['pairs']} empty" if stage["empty"] else told
