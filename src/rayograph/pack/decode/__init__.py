"""How an original becomes a packed sample: a file for each kind of original."""

from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.pack.decode import arrays, pictures, records
from rayograph.pack.decode.decoded import Decoded, Value
from rayograph.pack.decode.errors import UnusableError
from rayograph.pack.decode.pictures import SUFFIXES

__all__ = ["SUFFIXES", "Decoded", "UnusableError", "Value", "decode"]


def decode(original: bytes, recipe: Recipe) -> Decoded:
    """The sample of an original, [*recipe.shape]; `UnusableError`, whose message is the reason."""
    if isinstance(recipe, TableRecipe):
        return Decoded(records.decode(original, recipe))
    if original.startswith(arrays.MAGIC):
        return arrays.decode(original, recipe)
    return pictures.decode(original, recipe)
