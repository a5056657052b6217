"""How originals become a packed dataset."""

from typing import Literal

from pydantic import Field

from rayograph.config.base import Options


class SourceOptions(Options):
    """Which films a source has, and how a table names them."""

    path_column: str = "path"
    """column of file paths (tables) [column]"""

    root: str | None = None
    """folder that the paths are relative to (tables); null: the table's own [URI]"""

    exclude: tuple[str, ...] = ()
    """files to leave out, such as `*/masks/*` (folders) [patterns of paths]"""


class PackOptions(SourceOptions):
    """How originals become shards."""

    size: int = Field(256, ge=16, le=4096)
    """side of a packed film [pixels]"""

    resize: Literal["crop", "fit"] = "crop"
    """crop: short side to size, centre kept; fit: long side to size, black padding [name]"""

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

    patient_pattern: str | None = None
    """regular expression on a film's path; its first group is the patient (folders) [regex]"""

    label_column: str = "label"
    """column of classes (tables) [column]"""

    patient_column: str | None = None
    """column of patients (tables), or `none` if each film is its own patient [column]"""

    split_column: str = "split"
    """column of train, val, test (tables); used if the table has it [column]"""

    shard_bytes: int = Field(64_000_000, ge=1_000_000)
    """about the size of a shard [bytes]"""
