"""Hypothesis strategies that damage valid artefacts: their bytes, and the trees they hold."""

import copy
import json
import struct
from typing import Any

from hypothesis import strategies as st

LENGTHS = (0, 1, 7, 255, 2**15, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)
DEEP = "@deep@"  # stands for 50,000 nested lists, which no writer would write
PLACES = (
    "../secret", "../../secret", "train/../../secret", "/etc/passwd", "s3://elsewhere/x",
    "file:///etc/passwd", "train/00000.arrows\n", "..", ".", "",
)  # fmt: skip
VALUES = (
    None, True, False, -1, 0, 1, 2, 17, 4096, 10**6, 10**9, 2**31, 2**53, 2**63, 2**64, 10**30,
    10**400, -(2**63),
    0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf"),
    "\x00", "\x1b[2J", "a\nb", "x" * 20_000, "9" * 5000,
    "1e999", "nan", "inf", "-1", "10000000000", "null",
    [], {}, [[]], [1, 2], ["a", "b"], {"a": {}}, {"": None}, DEEP, *PLACES,
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with one to four flips, lying numbers, cuts, copies, or repetitions."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        if not out:
            break
        last = len(out) - 1
        spans = (0, last), (0, min(last, 500)), (max(0, last - 200), last)
        at = draw(st.integers(*spans[draw(st.integers(0, 2))]))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(("flip", "byte", "word", "cut", "drop", "copy", "repeat"))):
            case "flip":
                out[at] ^= 1 << draw(st.integers(0, 7))
            case "byte":
                out[at] = draw(st.integers(0, 255))
            case "word":
                width = draw(st.sampled_from((2, 4, 8)))
                value = draw(st.sampled_from(LENGTHS)) % 2 ** (8 * width)
                at -= at % draw(st.sampled_from((1, width)))
                order = draw(st.sampled_from("<>"))
                out[at : at + width] = struct.pack(order + {2: "H", 4: "I", 8: "Q"}[width], value)
            case "cut":
                del out[at:]
            case "drop":
                del out[at : at + length]
            case "copy":
                source = draw(st.integers(0, last))
                out[at : at + length] = out[source : source + length]
            case "repeat":
                times = draw(st.sampled_from((2, 10, 1000)))
                out[at:at] = out[at : at + length] * times
    return bytes(out)


@st.composite
def edited(draw: st.DrawFn, tree: Any) -> Any:
    """A copy of a JSON tree in which one to three places were replaced, removed, or added to."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        parent, key = _place(draw, tree)
        if parent is None:
            return draw(st.sampled_from(VALUES))
        match draw(st.sampled_from(("value", "value", "value", "remove", "add", "double", "near"))):
            case "value":
                parent[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            case "remove":
                del parent[key]
            case "add" if isinstance(parent, dict):
                value = copy.deepcopy(draw(st.sampled_from(VALUES)))
                parent[draw(st.sampled_from(("x", "", "__class__", "../x")))] = value
            case "double" if isinstance(parent, list):
                parent.insert(key, copy.deepcopy(parent[key]))
            case "near" if type(parent[key]) in (int, float):
                parent[key] += draw(st.sampled_from((-1, 1, 2**20, 2**40, 2**70)))
            case _:
                parent[key] = [parent[key]]
    return tree


def _place(draw: st.DrawFn, tree: Any) -> tuple[Any, Any]:
    """A random place in a tree, as its container and key; (None, None) for the root."""
    parent, key, here = None, None, tree
    while isinstance(here, dict | list) and here:
        if parent is not None and draw(st.integers(0, 5)) == 0:
            break
        keys = list(here) if isinstance(here, dict) else range(len(here))
        parent, key = here, draw(st.sampled_from(keys))
        here = parent[key]
    return parent, key


def text(tree: Any) -> bytes:
    """A tree as JSON, with NaN, infinities and lone surrogates as Python writes them."""
    deep = "[" * 50_000 + "]" * 50_000
    return json.dumps(tree).replace(json.dumps(DEEP), deep).encode()
