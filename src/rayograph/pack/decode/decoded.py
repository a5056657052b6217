"""What one original gives when it is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rayograph.data.inputs import Samples

Value = str | int | float | bool | None


class Identity(NamedTuple):
    """Who a film is: `identifiers` by DICOM keyword, and all `private` values of its header.

    Neither is ever written, only their salted hashes.
    """

    identifiers: Mapping[str, str]
    private: tuple[str, ...]


@dataclass(frozen=True)
class Decoded:
    """A packed sample [*shape], and what its original says beside it.

    `metadata` may be written as it is; `identifiers` (by DICOM keyword) and `private` (every value
    of a tag that may tell who the patient is) are never written, only their salted hashes.
    """

    values: Samples
    metadata: Mapping[str, Value] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict, repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
