"""The benchmark's few dealings with the store itself: list, upload, presign."""

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

MEDIA_TYPE = "application/x-shard"  # any but octet-stream, which counts as none


@lru_cache(1)
def client() -> Any:
    """The store that the standard variables name."""
    return boto3.client("s3", config=Config(signature_version="s3v4"))


def upload(folder: Path, uri: str) -> None:
    """Every file below `folder`, below `uri`; by one PUT with a type, so that no store compresses.

    SeaweedFS otherwise gzips films, and gunzips them for every read: ours are uploaded so, too.
    """
    place = urlsplit(uri)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = f"{place.path.strip('/')}/{file.relative_to(folder)}"
        client().put_object(
            Bucket=place.netloc, Key=key, Body=file.read_bytes(), ContentType=MEDIA_TYPE
        )


def keys(uri: str) -> list[str]:
    """The keys below a prefix, by name."""
    place = urlsplit(uri)
    pages = client().get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=place.netloc, Prefix=f"{place.path.strip('/')}/")
    return sorted(entry["Key"] for page in found for entry in page.get("Contents", ()))


def read(uri: str) -> bytes:
    """A whole object."""
    place = urlsplit(uri)
    body = client().get_object(Bucket=place.netloc, Key=place.path.strip("/"))["Body"]
    return bytes(body.read())


def presigned(uri: str) -> list[str]:
    """A URL for each object below a prefix, for clients that know plain HTTP alone."""
    bucket = urlsplit(uri).netloc
    return [
        client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        for key in keys(uri)
    ]
