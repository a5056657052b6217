"""What a table says of films beside their labels under names that are ours: view, age, sex."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rayograph.config import PackOptions
from rayograph.data.manifest import Finding
from rayograph.errors import one_line
from rayograph.pack.labels import is_missing
from rayograph.pack.sources.reading import texts

YEARS = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}  # of DICOM's ages, how many are a year
AGE = re.compile(r"(\d{1,3}(?:\.\d+)?|\d{1,3}[DWMY])", re.IGNORECASE)
OLDEST = 130
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}

Value = str | float | None


def view(text: str) -> str | None:
    """A view as it is written."""
    return text.strip() or None


def age(text: str) -> float | None:
    """Years, of a number or DICOM's form (`058Y`, `018M`); None of what is no person's age."""
    if not AGE.fullmatch(text.strip()):
        return None
    number, unit = text.strip(), "Y"
    if number[-1].isalpha():
        number, unit = number[:-1], number[-1].upper()
    years = float(number) / YEARS[unit]
    return round(years, 2) if years <= OLDEST else None


def sex(text: str) -> str | None:
    """M, F or O."""
    return SEXES.get(text.strip().lower())


READERS: dict[str, Callable[[str], Value]] = {"view": view, "age": age, "sex": sex}


def columns_of(names: Sequence[str], options: PackOptions) -> dict[str, str]:
    """The column of each: the one that an option names, else the one of that name."""
    named = {"view": options.view_column, "age": options.age_column, "sex": options.sex_column}
    found = {key: column or key for key, column in named.items()}
    return {key: column for key, column in found.items() if named[key] or column in names}


def read(
    uri: str, table: Any, columns: Mapping[str, str], rows: Sequence[int]
) -> tuple[dict[str, list[Value]], tuple[Finding, ...]]:
    """Each of them by our name, a value a row, and which values of `rows` say nothing known.

    Where there are such, the column is also kept as it is written, as `source_` and our name.
    """
    found: dict[str, list[Value]] = {}
    findings: tuple[Finding, ...] = ()
    for key, column in columns.items():
        said = texts(uri, table, column)
        found[key] = [None if is_missing(text) else READERS[key](text) for text in said]
        odd = [i for i in rows if found[key][i] is None and not is_missing(said[i])]
        if odd:
            found[f"source_{key}"] = [text or None for text in said]
            message = f"{len(odd)} values of {column} are no {key}, the first in row {odd[0] + 1}"
            findings += (Finding(kind=f"no_{key}", message=one_line(message)),)
    return found, findings
