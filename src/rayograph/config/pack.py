"""How originals become a packed dataset."""

from typing import Literal

from pydantic import Field, model_validator

from rayograph.config.base import Options, Place


class SourceOptions(Options):
    """Which films a source has, and how a table names them."""

    path_column: str = "path"
    """column of file paths (tables) [column]"""

    id_column: str | None = None
    """column of ids (records); null: the number of the row, from 1 [column]"""

    root: str | None = None
    """folder that the paths are relative to (tables); null: the table's own [URI]"""

    exclude: tuple[str, ...] = ()
    """files to leave out, such as `*/masks/*` (folders), or columns (records) [patterns of paths,
    or columns]"""


class PackOptions(SourceOptions):
    """How originals become shards."""

    inputs: Literal["image", "table"] = "image"
    """what a sample is: a film, or a row of a table, its columns being numbers and categories
    [name]"""

    like: Place | None = None
    """dataset whose labels (of joined findings) and columns (of records) are taken as they are, so
    that its models can judge this one [URI]"""

    categorical: tuple[str, ...] = ()
    """columns of categories that look like numbers (records) [columns]"""

    size: int = Field(256, ge=16, le=4096)
    """side of a packed film [pixels]"""

    resize: Literal["crop", "fit"] = "crop"
    """crop: short side to size, centre kept; fit: long side to size, black padding [name]"""

    range: tuple[float, float] | None = None
    """gray levels that become black and white, of pictures of more than 8 bits and of DICOM without
    a window; null: of pictures the bits in use, of DICOM the least and the largest [two numbers]"""

    window: str | None = None
    """of DICOM: the window or VOI LUT of this name, or `full` for none; null: the first one that
    the film has [name]"""

    codec: Literal["raw", "jpeg"] = "raw"
    """how pixels are stored: raw, the fastest, or jpeg, a quarter of the bytes [name]"""

    quality: int = Field(95, ge=1, le=100)
    """of codec jpeg [JPEG quality]"""

    split: Literal["source", "test"] = "source"
    """source: its own parts, or cut where it has none; test: every film is a test film, to judge
    models by: one class is enough, and the model says which is negative [name]"""

    val: Literal["source", "cut", "merge_and_cut"] = "source"
    """validation films: the source's own part (cut from training if it has none), cut from
    training, or the source's own merged into training and then cut [name]"""

    val_fraction: float = Field(0.15, gt=0, lt=1)
    """share of training patients that a cut takes (a source without parts is cut 70/15/15)
    [fraction]"""

    seed: int = Field(0, ge=0)
    """of the cut and of the stored order [seed]"""

    max_rejected: int | None = Field(None, ge=0)
    """unreadable films that are tolerated; null: 1 % of the films, at least 10 [films]"""

    negative: str | None = None
    """class that means `nothing found`; null: the one whose name says so (normal, healthy, 0,
    non-X, No_X, …) [class]"""

    folds: int | None = Field(None, ge=2, le=20)
    """parts that training and validation films are dealt into, for cross-validation by `data.fold`;
    null: one training and one validation part [folds]"""

    patient_pattern: str | None = None
    """regular expression on a film's path; its first group is the patient (folders) [regex]"""

    task: Literal["multiclass", "multilabel"] = "multiclass"
    """multiclass: a film has exactly one class; multilabel: each of several labels is present or
    absent by itself (tables) [name]"""

    label_column: str | None = None
    """column of classes, or of findings that `pack.label_separator` joins (tables); null: `label`,
    else of records the last one [column]"""

    label_columns: tuple[str, ...] = ()
    """columns of several labels, a label each (tables) [columns]"""

    label_separator: str | None = None
    """what joins the findings in the label column, such as `|` (tables) [text]"""

    drop_labels: tuple[str, ...] = ()
    """labels to leave out, such as those that never occur in training (multilabel) [labels]"""

    present: tuple[str, ...] = ("1", "1.0", "true", "t", "yes", "y", "positive", "present")
    """what a label column says of a label that is there; case does not matter (multilabel)
    [words]"""

    absent: tuple[str, ...] = ("0", "0.0", "false", "f", "no", "n", "negative", "absent")
    """what it says of one that is not there (multilabel) [words]"""

    uncertain: tuple[str, ...] = ("-1", "-1.0", "u", "uncertain", "maybe", "possible", "equivocal")
    """what it says of one that may be there; nothing means that it is not known (multilabel)
    [words]"""

    patient_column: str | None = None
    """column of patients (tables), or `none` if each sample is its own patient; null: as `none` of
    records, refused of films [column]"""

    split_column: str = "split"
    """column of train, val, test (tables); used if the table has it [column]"""

    shard_bytes: int = Field(64_000_000, ge=1_000_000)
    """about the size of a shard [bytes]"""

    @model_validator(mode="after")
    def _rising(self) -> "PackOptions":
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError(
                f"range: black {self.range[0]:g} must be below {self.range[1]:g}, white"
            )
        return self
