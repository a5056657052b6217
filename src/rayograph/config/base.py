"""What all groups of options have in common: frozen, strict about keys, each field described."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel

from rayograph import storage


class Options(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False,
              use_attribute_docstrings=True):  # fmt: skip
    """A group of options; the docstring below a field is its meaning and, in brackets, its unit."""


Place = Annotated[str, AfterValidator(storage.absolute)]  # absolute, since workers run elsewhere
