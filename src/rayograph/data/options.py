"""What can be chosen about films: where they are, how they are packed, how they are augmented."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Range = tuple[float, float]


class DataOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which packed dataset a run reads, and at what size the model sees it."""

    uri: str = Field(
        "phantom",
        description="packed dataset; `phantom` makes one in the run's storage",
        json_schema_extra={"unit": "URI"},
    )
    image_size: int = Field(
        128, ge=16, le=2048, description="what the model sees", json_schema_extra={"unit": "pixels"}
    )
    cache: str | None = Field(
        None,
        description="folder on each node's own disk for what was read; null: none, as films of "
        "patients are left on no disk unasked",
        json_schema_extra={"unit": "path"},
    )
    cache_bytes: int = Field(
        50_000_000_000,
        ge=1_000_000,
        description="what that folder may hold; the least recently used makes room",
        json_schema_extra={"unit": "bytes"},
    )


class PhantomOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Procedural films, for demos and tests without a network or a patient."""

    films: int = Field(
        640, ge=16, le=1_000_000, description="how many", json_schema_extra={"unit": "films"}
    )
    seed: int = Field(0, ge=0, description="which ones", json_schema_extra={"unit": "seed"})
    size: int = Field(
        128, ge=32, le=2048, description="side of a film", json_schema_extra={"unit": "pixels"}
    )


class PackOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How originals become shards."""

    size: int = Field(
        256,
        ge=16,
        le=4096,
        description="side of a packed film",
        json_schema_extra={"unit": "pixels"},
    )
    resize: Literal["crop", "fit"] = Field(
        "crop",
        description="crop: short side to size, centre kept; fit: long side to size, black padding",
        json_schema_extra={"unit": "name"},
    )
    codec: Literal["raw", "jpeg"] = Field(
        "raw",
        description="how pixels are stored: raw, the fastest, or jpeg, a quarter of the bytes",
        json_schema_extra={"unit": "name"},
    )
    quality: int = Field(
        95, ge=1, le=100, description="of a jpeg", json_schema_extra={"unit": "JPEG quality"}
    )
    val: Literal["source", "cut", "merge_and_cut"] = Field(
        "source",
        description="validation films: the source's own part (a cut where it has none), "
        "cut from training, or the source's own joined to training and then cut",
        json_schema_extra={"unit": "name"},
    )
    val_fraction: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="training patients a cut takes (a source without parts is cut 70/15/15)",
        json_schema_extra={"unit": "fraction"},
    )
    seed: int = Field(
        0,
        ge=0,
        description="of the cut and of the stored order",
        json_schema_extra={"unit": "seed"},
    )
    max_rejected: int | None = Field(
        None,
        ge=0,
        description="unreadable films that are borne; null: 1 % of the films, at least 10",
        json_schema_extra={"unit": "films"},
    )
    negative: str | None = Field(
        None,
        description="class that means `nothing found`; null: the one named normal, negative, "
        "healthy or no finding, else the first by name",
        json_schema_extra={"unit": "class"},
    )
    patient_pattern: str | None = Field(
        None,
        description="regular expression on a film's path; its first group is the patient (folders)",
        json_schema_extra={"unit": "regex"},
    )
    path_column: str = Field(
        "path", description="column of film paths (tables)", json_schema_extra={"unit": "column"}
    )
    label_column: str = Field(
        "label", description="column of classes (tables)", json_schema_extra={"unit": "column"}
    )
    patient_column: str | None = Field(
        None,
        description="column of patients (tables), or `none` where each film is its own patient",
        json_schema_extra={"unit": "column"},
    )
    split_column: str = Field(
        "split",
        description="column of train, val, test (tables); used where the table has it",
        json_schema_extra={"unit": "column"},
    )
    shard_bytes: int = Field(
        64_000_000,
        ge=1_000_000,
        description="about the size of a shard",
        json_schema_extra={"unit": "bytes"},
    )


class AugmentOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Random changes of a training film, drawn anew for each film and epoch."""

    scale: Annotated[Range, Field(json_schema_extra={"unit": "fraction"})] = Field(
        (0.85, 1.0), description="side of the crop as a part of the film"
    )
    shift: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="shift from the centre, at most, either way",
        json_schema_extra={"unit": "fraction"},
    )
    rotation: float = Field(
        7.0,
        ge=0,
        le=180,
        description="rotation, at most, either way",
        json_schema_extra={"unit": "degrees"},
    )
    brightness: float = Field(
        0.1,
        ge=0,
        le=1,
        description="added gray, at most, either way",
        json_schema_extra={"unit": "fraction of white"},
    )
    contrast: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="contrast factor's distance from 1, at most",
        json_schema_extra={"unit": "fraction"},
    )
    flip: float = Field(
        0.0,
        ge=0,
        le=1,
        description="chance of a left-right flip; a heart has a side",
        json_schema_extra={"unit": "probability"},
    )

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentOptions":
        low, high = self.scale
        if not 0.1 <= low <= high <= 1.5:
            raise ValueError(f"scale [{low:g}, {high:g}] must be two rising numbers in 0.1 to 1.5")
        return self
