"""The gallery as one picture."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.image import imread

from rayograph.report import gallery, svg

_ACROSS, _SIDE, _CAPTION = 2, 1.5, 0.75  # films beside each other; inches
_DPI = 110
_KINDS = ("film", "grad_cam", "input_gradient")


def sheet(found: Mapping[str, Any]) -> bytes:
    """A PNG of all films: each as it was packed, under Grad-CAM, and its input gradient."""
    films = [(gallery.title(g), each) for g in found["groups"] for each in g["films"]]
    rows, columns = -(-len(films) // _ACROSS), _ACROSS * len(_KINDS)
    with svg.style():
        size = (columns * _SIDE, rows * (_SIDE + _CAPTION))
        figure = Figure(figsize=size, facecolor=svg.PAPER)
        room = {"left": 0.01, "right": 0.99, "bottom": 0.02 / rows, "top": 1 - _CAPTION / size[1]}
        space = {"wspace": 0.04, "hspace": _CAPTION / _SIDE, **room}
        axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=space)
        for each in axes.flat:
            each.set_axis_off()
        for place, (title, film) in enumerate(films):
            row, first = divmod(place, _ACROSS)
            own = axes[row, first * len(_KINDS) : (first + 1) * len(_KINDS)]
            for each, kind in zip(own, _KINDS, strict=True):
                each.imshow(_picture(film["pictures"][kind]), cmap="gray")
            name = svg.short(film["sample_id"], 50)
            told = "\n".join((svg.short(title, 60), name, svg.short(gallery.said(film), 70)))
            own[0].set_title(told, size=7, loc="left", color=svg.INK)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
    return out.getvalue()


def _picture(uri: str) -> npt.NDArray[np.uint8]:
    data = io.BytesIO(base64.b64decode(uri.partition(",")[2]))
    return np.asarray(imread(data, format="webp"))
