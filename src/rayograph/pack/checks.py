"""What a pack refuses."""

from collections.abc import Sequence

import numpy as np

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data import dataset
from rayograph.errors import UserError, one_line
from rayograph.pack.identify import Identified
from rayograph.pack.samples import Sample
from rayograph.task import PRESENT


def vacant(dest: str, overwrite: bool) -> None:
    """Raise `UserError` where `dest` holds a packed dataset that is not to be replaced."""
    if not overwrite and storage.exists(storage.join(storage.absolute(dest), dataset.MANIFEST)):
        raise UserError(
            f"{dest}: holds a packed dataset already; choose another place or --overwrite"
        )


def rejected(found: Identified, films: int, options: PackOptions) -> None:
    """Raise `UserError` where more of so many originals are of no use than `pack.max_rejected`.

    Also where all of them are.
    """
    none = [each for each in found.rejected if each.loss]
    limit = max(10, films // 100) if options.max_rejected is None else options.max_rejected
    if len(none) > limit or len(none) == films:
        first = none[0]
        rule = f", more than {limit} (pack.max_rejected)" if len(none) < films else ""
        raise UserError(
            f"{len(none)} of {films} films cannot be used{rule}; the first is "
            f"{first.sample_id}: {first.reason}"
        )


def left(found: Identified) -> None:
    """Raise `UserError` where there is no sample to pack."""
    if found.samples:
        return
    uri, awaiting, findings = found.source.uri, found.source.awaiting, found.source.findings
    if awaiting is not None and "views_left_out" not in {each.kind for each in findings}:
        raise UserError(
            f"{uri}: no film has a {awaiting.keyword} that a row of the table names, such as "
            f"{one_line(next(iter(awaiting.rows), 'none'))}; pack.match says what rows name films "
            "by, and zeros at the front count"
        )
    told = "; ".join(finding.message for finding in findings)
    raise UserError(f"{uri}: no film is left to pack: {told}")


def folds(parts: Sequence[str], options: PackOptions) -> None:
    """Raise `UserError` where there are not enough patients for so many folds."""
    empty = (options.folds or 0) - len({part for part in parts if part.startswith("fold-")})
    if options.folds and empty:
        raise UserError(f"pack.folds={options.folds}: {empty} folds would be empty; use fewer")


def labels(found: Identified, pairs: Sequence[tuple[Sample, str]]) -> None:
    """Raise `UserError` for a class or label that never occurs where models are trained."""
    source = found.source
    training = [sample.labels for sample, part in pairs if part not in ("val", "test")]
    occurs = (np.array(training, np.int8).reshape(-1, len(source.classes)) == PRESENT).any(axis=0)
    for i, name in enumerate(source.classes):
        if not occurs[i]:
            own = [each for each in found.rejected if each.labels and each.labels[i] == PRESENT]
            if own and not any(sample.labels[i] == PRESENT for sample in found.samples):
                raise UserError(
                    f"{source.uri}: none of the {len(own)} films of {name} can be used; the first "
                    f"is {own[0].sample_id}: {own[0].reason}"
                )
            kind, cure = "class", "give it training films or leave it out"
            if source.task != "multiclass":
                kind, cure = "label", f"pack.drop_labels=[{one_line(name)}] leaves it out"
            raise UserError(
                f"{source.uri}: the {kind} {one_line(name)} never occurs in training, so it cannot "
                f"be learned; {cure}"
            )
