"""How an original becomes a packed sample: a file for each kind of original."""

from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.pack.decode import arrays, pictures, records
from rayograph.pack.decode.decoded import Decoded, Identity, Value
from rayograph.pack.decode.errors import UnusableError
from rayograph.pack.decode.forms import is_dicom
from rayograph.pack.decode.pictures import SUFFIXES

__all__ = ["SUFFIXES", "Decoded", "Identity", "UnusableError", "Value", "decode", "identity"]


def decode(original: bytes, recipe: Recipe) -> Decoded:
    """The sample of an original, [*recipe.shape]; `UnusableError`, whose message is the reason."""
    if isinstance(recipe, TableRecipe):
        return Decoded(records.decode(original, recipe))
    if original.startswith(arrays.MAGIC):
        return arrays.decode(original, recipe)
    if is_dicom(original):
        from rayograph.pack.decode import dicom  # a sixth of a second, and not for pictures

        return dicom.decode(original, recipe)
    return pictures.decode(original, recipe)


def identity(original: bytes) -> Identity:
    """Who an original that cannot be used is; nobody where it has no header."""
    if not is_dicom(original):
        return Identity({}, ())
    from rayograph.pack.decode import dicom

    return dicom.identity(original)
