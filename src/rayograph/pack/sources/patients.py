"""Whose a film is, where no column says so."""

import re
from collections.abc import Sequence

from rayograph.data.manifest import Finding
from rayograph.errors import UserError
from rayograph.pack.sources.base import is_dicom, patients_unknown


def of_films(
    uri: str, names: Sequence[str], pattern: str | None, unknown: str
) -> tuple[list[str | None], tuple[Finding, ...]]:
    """The patient of each film by its path; None where its DICOM header is asked later.

    Without a pattern other films are each their own patient, which `unknown` tells.
    """
    if pattern is not None:
        return by_pattern(uri, names, pattern), ()
    found = [None if is_dicom(name) else name for name in names]
    return found, patients_unknown(unknown) if any(found) else ()


def by_pattern(uri: str, names: Sequence[str], expression: str) -> list[str | None]:
    """The patient of each film: what the first group of an expression finds in its path.

    Raises `UserError` where it finds nothing, or is none.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(f"pack.patient_pattern={expression}: {error}") from None
    if pattern.groups < 1:
        raise UserError(f"pack.patient_pattern={expression}: needs a (group)")
    found = [pattern.search(name) for name in names]
    for name, match in zip(names, found, strict=True):
        if match is None or not match[1]:
            raise UserError(f"{uri}: pack.patient_pattern finds no patient in {name}")
    return [match[1] for match in found if match]
