"""How originals become a packed dataset."""

from typing import Literal

from pydantic import Field, model_validator

from rayograph.config.base import Options, Place

Match = Literal[
    "path", "name", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID",
    "AccessionNumber",
]  # fmt: skip


class SourceOptions(Options):
    """Which films a source has, and how a table names them."""

    path_column: str = "path"
    """column of file paths (tables), or of what `pack.match` says [column]"""

    id_column: str | None = None
    """column of ids (records); null: the number of the row, from 1 [column]"""

    root: str | None = None
    """folder that the paths are relative to (tables); null: the table's own, or SOURCE with
    `pack.table` [URI]"""

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

    resize: Literal["crop", "fit", "stretch"] = "crop"
    """crop: short side to size, centre kept; fit: long side to size, black padding; stretch: both
    sides to size, the whole film without its aspect ratio [name]"""

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

    val: Literal["source", "cut", "merge_and_cut", "none"] = "source"
    """validation films: the source's own part (cut from training if it has none), cut from
    training, the source's own merged into training and then cut, or none: all but the test films
    are trained on, and the last epoch is the model [name]"""

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

    layout: str | None = None
    """how a published dataset below SOURCE is laid out: nih14, chexpert, mimic-cxr-jpg, rsna,
    vindr-cxr, kaggle-pneumonia, kaggle-covid, or the place of a layout of your own [name or URI]"""

    table: Place | None = None
    """table of the labels of films that lie below SOURCE, a folder; paths are relative to SOURCE
    [URI]"""

    match: Match = "path"
    """how the path column names films (tables): path; name: the file's name, with or without its
    suffix, anywhere below the root; or what their headers say under a DICOM keyword [name]"""

    several_rows: Literal["equal", "any", "majority"] | None = None
    """what several rows of one film are (tables): null: an error; equal: they must say the same;
    any: present if one row says so; majority: what more than half of the rows say that know it,
    else uncertain (multilabel) [name]"""

    test_list: Place | None = None
    """text file of film names or paths, one a line: those are for testing, all others for
    training [URI]"""

    views: tuple[str, ...] = ()
    """views to keep, such as PA, AP; lateral, LAT, LL and RL are one, frontal is PA or AP; films
    of no known view are kept; empty: all [views]"""

    patient_pattern: str | None = None
    """regular expression on a film's path; its first group is the patient (folders, tables)
    [regex]"""

    identifiers: Literal["hash", "keep"] = "hash"
    """patients, study dates and names of DICOM films: salted hashes (by RAYOGRAPH_SALT), or kept as
    they are, for published films only, whose identifiers are made up [name]"""

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

    classes: dict[str, tuple[str, ...]] = Field({})
    """spellings that are a class (or findings, or columns, that are a label), by its name, such as
    {covid: [COVID-19, covid19], normal: [Normal]}; all others are left out; empty: each is its own
    [spellings by class]"""

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
    records; of films what `pack.patient_pattern` or a DICOM file's header says [column]"""

    view_column: str | None = None
    """column of views (tables); null: `view`, if the table has it [column]"""

    age_column: str | None = None
    """column of ages in years, or in DICOM's form such as 058Y (tables); null: `age`, if the table
    has it [column]"""

    sex_column: str | None = None
    """column of sexes (tables); null: `sex`, if the table has it [column]"""

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
