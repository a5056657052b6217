"""Places: `s3://bucket/key`, `file:///path`, or a bare path."""

import posixpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rayograph.errors import UserError


def absolute(uri: str) -> str:
    """`s3://bucket/key` without a trailing slash, or an absolute local path."""
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme == "s3":
        if not bucket_and_key(uri)[0]:
            raise UserError(f"{uri}: no bucket named; write s3://BUCKET/KEY")
        return uri.rstrip("/")
    if scheme == "file":
        uri = unquote(urlsplit(uri).path)
    elif scheme:
        raise UserError(
            f"{uri}: unknown scheme {scheme}://; use s3://BUCKET/KEY, file:// or a path"
        )
    if not uri:
        raise UserError("an empty path names no place; use s3://BUCKET/KEY, file:// or a path")
    return str(Path(uri).expanduser().absolute())


def below(folder: str, path: str) -> str:
    """The place of a relative path, its `.` and `..` resolved: an object store knows neither."""
    scheme = "" if is_local(folder) else "s3://"
    return scheme + posixpath.normpath(join(folder.removeprefix(scheme), path))


def join(uri: str, *parts: str) -> str:
    """The place `parts` below `uri`."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(uri: str) -> str:
    """The folder that holds `uri`."""
    return uri.rstrip("/").rpartition("/")[0] or "/"


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's disk."""
    return not uri.startswith("s3://")


def bucket_and_key(uri: str) -> tuple[str, str]:
    """What boto3 calls an `s3://` place."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")
