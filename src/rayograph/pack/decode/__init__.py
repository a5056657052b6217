"""How an original becomes a packed sample: a file for each kind of original."""

from rayograph.data.inputs import Samples
from rayograph.data.recipe import Recipe
from rayograph.pack.decode import pictures
from rayograph.pack.decode.forms import UnusableError
from rayograph.pack.decode.pictures import SUFFIXES

__all__ = ["SUFFIXES", "UnusableError", "decode"]


def decode(original: bytes, recipe: Recipe) -> Samples:
    """The sample [*recipe.shape] of an original; `UnusableError`, whose message is the reason."""
    return pictures.decode(original, recipe)
