"""Labels that may be wrong: a gallery and a table, in a run's report or on a sweep's own page."""

from collections.abc import Mapping
from typing import Any

from rayograph.report.html import template

PAGE = "suspects.html"  # in a sweep's folder

Document = Mapping[str, Any]


def view(found: Document) -> Mapping[str, Any]:
    """What the section shows."""
    labels = any("label" in each for each in found["suspects"])
    return {
        "words": words(found),
        "films": [
            {"picture": each["picture"], "name": each["sample_id"], "said": _said(each)}
            for each in found["suspects"]
            if "picture" in each
        ],
        "head": ["Rank", *(["Label"] if labels else []), "Given", "Predicted", "p of the given",
                 "Score", "Part", found["noun"].removesuffix("s").capitalize()],
        "rows": [
            [str(each["rank"]), *([each["label"]] if labels else []), each["given"],
             each["predicted"], f"{each['p_given']:.4f}", f"{each['score']:.2f}", each["part"],
             each["sample_id"]]
            for each in found["suspects"]
        ],
    }  # fmt: skip


def words(found: Document) -> list[str]:
    """What was ranked by what, and how it is to be read."""
    noun = found["noun"]
    by = f"one model, on its {' and '.join(found['splits'])} {noun}, which it did not train on"
    if found["fold_models"]:
        by = f"{found['models']} models, each on the fold that it was not trained on"
    ranked = f"{found['ranked']:,} labels of {found['films']:,} {noun} ranked by {by}."
    if found["not_ranked"]:
        ranked += f" Not ranked: {', '.join(found['not_ranked'])}."
    chosen = "each model’s own fold" if found["fold_models"] else f"the validation {noun}"
    return [
        f"{ranked} First its probabilities were fitted to the labels that it ranks: a slope, and a "
        "shift for each class.",
        f"{found['contradicted']:,} of them the model holds for less likely than not: its own "
        "mistakes are among these. A suspect is to be read again by somebody who does "
        "not know the label; correcting labels by the model alone teaches it its own mistakes.",
        f"The best epoch was chosen on {chosen}, which makes the ranking there a little too kind "
        "to the labels.",
    ]


def render(found: Document, name: str) -> str:
    """The ranking as a page of its own: no script, no request."""
    section = template("suspects.html.j2").render(part=view(found))
    return template("suspects_page.html.j2").render(name=name, section=section)


def _said(suspect: Document) -> str:
    of = f"{suspect['label']}: " if "label" in suspect else ""
    told = f"{of}given {suspect['given']}, predicted {suspect['predicted']}"
    return f"{told}, p of the given {suspect['p_given']:.4f}"
