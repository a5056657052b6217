"""How an original becomes a packed sample: a file for each kind of original."""

from rayograph.data.inputs import Samples
from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.pack.decode import pictures, records
from rayograph.pack.decode.errors import UnusableError
from rayograph.pack.decode.pictures import SUFFIXES

__all__ = ["SUFFIXES", "UnusableError", "decode"]


def decode(original: bytes, recipe: Recipe) -> Samples:
    """The sample [*recipe.shape] of an original; `UnusableError`, whose message is the reason."""
    if isinstance(recipe, TableRecipe):
        return records.decode(original, recipe)
    return pictures.decode(original, recipe)
