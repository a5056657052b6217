"""Whose a film is, where no column says so."""

import re
from collections.abc import Sequence

from rayograph.errors import UserError


def of_films(uri: str, names: Sequence[str], pattern: str | None) -> list[str | None]:
    """The patient of each film by its path; without a pattern None, so that headers are asked."""
    return [None] * len(names) if pattern is None else list(by_pattern(uri, names, pattern))


def by_pattern(uri: str, names: Sequence[str], expression: str) -> list[str]:
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
