"""What can be chosen about a model."""

from typing import Literal

from pydantic import BaseModel, Field


class ModelOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Which classifier is built, and what it starts from."""

    name: str = Field(
        "resnet18",
        description="cnn, or a resnet, densenet, efficientnet or convnext by torchvision's name",
        json_schema_extra={"unit": "name"},
    )
    weights: str | None = Field(
        None,
        description="start from these: a torchvision name such as IMAGENET1K_V2, or the URI of a "
        ".safetensors or .pth file; null: random",
        json_schema_extra={"unit": "name or URI"},
    )
    freeze_backbone: bool = Field(
        False, description="train the last layer only", json_schema_extra={"unit": "true or false"}
    )
    norm: Literal["batch", "sync", "group"] = Field(
        "batch",
        description="batch: statistics of a worker's share; sync: of the global batch (GPUs only); "
        "group: of one film, the same for any number of workers",
        json_schema_extra={"unit": "name"},
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout before the last layer",
        json_schema_extra={"unit": "probability"},
    )
    width: int = Field(
        16,
        ge=1,
        le=512,
        description="channels of the first block (cnn only); doubles each block",
        json_schema_extra={"unit": "channels"},
    )
    depth: int = Field(
        4,
        ge=1,
        le=8,
        description="blocks of convolution and pooling (cnn only)",
        json_schema_extra={"unit": "blocks"},
    )
    padding: int = Field(
        1,
        ge=0,
        le=2,
        description="zeros around each convolution's input (cnn only)",
        json_schema_extra={"unit": "pixels"},
    )
