"""Every place is a URI: `s3://bucket/key`, `file:///path`, or a bare path.

The only file that knows boto3, smart_open and pyarrow.fs. boto3 carries shards and checkpoints,
smart_open opens originals and small documents, pyarrow.fs is what Ray gets. Endpoint and
credentials come from the standard AWS variables or the node's role, never from an argument.
A write is complete or absent.
"""

import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

from rayograph.errors import Failure, UserError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MULTIPART_BYTES = 16_000_000  # larger objects go up in parts, several at once
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_ABSENT = {"404", "NoSuchKey", "NotFound"}


class NotFoundError(UserError):
    """Nothing lies at the URI."""


class Entry(NamedTuple):
    """One object or file of a listing; `size` in bytes."""

    uri: str
    size: int


def absolute(uri: str) -> str:
    """`s3://bucket/key` without a trailing slash, or an absolute local path."""
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme == "s3":
        if not _bucket_and_key(uri)[0]:
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


def read(uri: str) -> bytes:
    """The whole of an original or a small document."""
    import smart_open

    uri = absolute(uri)
    options: dict[str, Any] = {"compression": "disable"}
    with _explained("read", uri):
        if not is_local(uri):
            options["transport_params"] = {"client": _s3(), "defer_seek": True}
        with smart_open.open(uri, "rb", **options) as file:
            return bytes(file.read())


def fetch(uri: str) -> bytes:
    """The whole of a checkpoint or a model."""
    uri = absolute(uri)
    with _explained("read", uri):
        if is_local(uri):
            return Path(uri).read_bytes()
        bucket, key = _bucket_and_key(uri)
        return _s3().get_object(Bucket=bucket, Key=key)["Body"].read()


def read_range(uri: str, offset: int, length: int) -> bytes:
    """`length` bytes of an object from `offset`; fewer is a `Failure`."""
    uri = absolute(uri)
    with _explained("read", uri):
        if is_local(uri):
            with Path(uri).open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        else:
            bucket, key = _bucket_and_key(uri)
            span = f"bytes={offset}-{offset + length - 1}"
            data = _s3().get_object(Bucket=bucket, Key=key, Range=span)["Body"].read()
    if len(data) != length:
        raise Failure(f"{uri}: {len(data)} bytes at {offset} where {length} should be: cut short?")
    return data


def write(uri: str, data: bytes) -> None:
    """Put `data` at `uri`, complete or not at all."""
    _put(absolute(uri), io.BytesIO(data), len(data))


def upload(uri: str, file: Path) -> None:
    """Put a local file at `uri`, complete or not at all; large ones in parts."""
    with file.open("rb") as source:
        _put(absolute(uri), source, file.stat().st_size)


def copy(source: str, target: str) -> None:
    """Copy one object; inside one store without passing through this machine."""
    source, target = absolute(source), absolute(target)
    if is_local(source) or is_local(target):
        write(target, read(source))
        return
    bucket, key = _bucket_and_key(target)
    old_bucket, old_key = _bucket_and_key(source)
    with _explained("copy", source):
        _s3().copy({"Bucket": old_bucket, "Key": old_key}, bucket, key)


def exists(uri: str) -> bool:
    """Whether an object or file lies at `uri` itself."""
    uri = absolute(uri)
    if is_local(uri):
        return Path(uri).is_file()
    bucket, key = _bucket_and_key(uri)
    try:
        with _explained("look up", uri):
            _s3().head_object(Bucket=bucket, Key=key)
    except NotFoundError:
        with _explained("look up", uri):  # HEAD cannot tell a missing object from a missing bucket
            _s3().list_objects_v2(Bucket=bucket, MaxKeys=1, Prefix=key)
        return False
    return True


def listing(uri: str) -> Iterator[Entry]:
    """Every object or file below `uri`, by name; nothing where nothing lies."""
    uri = absolute(uri)
    if is_local(uri):
        for path in sorted(filter(Path.is_file, Path(uri).rglob("*")), key=Path.as_posix):
            yield Entry(str(path), path.stat().st_size)
        return
    bucket, key = _bucket_and_key(uri)
    with _explained("list", uri):
        pages = _s3().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=f"{key}/" if key else ""):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    yield Entry(f"s3://{bucket}/{item['Key']}", item["Size"])


def delete(uris: Iterable[str]) -> None:
    """Delete objects, each named in full: there is no way to delete a whole prefix."""
    for uri in map(absolute, uris):
        with _explained("delete", uri):
            if is_local(uri):
                Path(uri).unlink(missing_ok=True)
            else:
                bucket, key = _bucket_and_key(uri)
                _s3().delete_object(Bucket=bucket, Key=key)


def filesystem(uri: str) -> tuple[Any, str]:
    """The `pyarrow.fs` filesystem and the path in it that Ray writes to; holds no credentials."""
    import pyarrow.fs

    uri = absolute(uri)
    if is_local(uri):
        return pyarrow.fs.LocalFileSystem(), uri
    import boto3

    options: dict[str, Any] = {
        "region": os.environ.get("AWS_REGION") or boto3.Session().region_name or "us-east-1"
    }
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:  # pickling, on Ray's way to other processes, loses what the environment said
        parts = urlsplit(endpoint)
        options |= {"scheme": parts.scheme, "endpoint_override": parts.netloc}
    return pyarrow.fs.S3FileSystem(**options), uri.removeprefix("s3://")


def _put(uri: str, source: BinaryIO, size: int) -> None:
    with _explained("write", uri):
        if is_local(uri):
            _replace(Path(uri), source)
            return
        bucket, key = _bucket_and_key(uri)
        if size > MULTIPART_BYTES:
            _s3().upload_fileobj(source, bucket, key)
        else:
            _s3().put_object(Bucket=bucket, Key=key, Body=source)


def _replace(path: Path, source: BinaryIO) -> None:
    """Write beside `path`, flush to disk, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # mkstemp's own mode hides the file from everyone else
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")


@lru_cache(maxsize=1)
def _s3() -> "S3Client":
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        region_name=os.environ.get("AWS_REGION"),  # which boto3, unlike others, does not read
        config=Config(
            retries={"mode": "standard", "max_attempts": 6},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=32,
        ),
    )


@contextmanager
def _explained(verb: str, uri: str) -> Iterator[None]:
    """Turn what boto3, smart_open and the disk raise into one line with the URI and a cure."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        cause = getattr(error, "backend_error", None) or error  # smart_open wraps boto3's
        what = f"{uri}: cannot {verb}"
        if isinstance(cause, ClientError):
            raise _client_error(what, uri, cause) from error
        if isinstance(cause, ProfileNotFound):
            raise UserError(f"{what}: {cause}; check AWS_PROFILE") from error
        if isinstance(cause, NoCredentialsError):
            raise UserError(
                f"{what}: no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or give the machine a role"
            ) from error
        if isinstance(cause, (FileNotFoundError, NotADirectoryError)):
            raise NotFoundError(f"{uri}: nothing there; check the path") from error
        if isinstance(cause, (PermissionError, IsADirectoryError)):
            raise UserError(
                f"{what}: {cause.strerror}; check the path and its permissions"
            ) from error
        raise Failure(f"{what}: {' '.join(str(cause).split())}") from error


def _client_error(what: str, uri: str, error: Any) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        bucket, _ = _bucket_and_key(uri)
        return UserError(
            f"{uri}: the bucket {bucket} does not exist; create it or correct the name"
        )
    if code in _ABSENT:
        return NotFoundError(f"{uri}: nothing there; check the key")
    if code in _DENIED:
        return UserError(
            f"{what}: the store refused the credentials ({code}); check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, or the role's policy"
        )
    return Failure(f"{what}: {' '.join(str(error).split())}")
