"""Whole objects and files: read, written complete or not at all, listed, copied, deleted."""

import io
import mimetypes
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from rayograph.errors import UserError, one_line
from rayograph.storage.reach import ANSWER_S
from rayograph.storage.retries import NotFoundError, proven, with_retries
from rayograph.storage.uri import absolute, bucket_and_key, is_local

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MULTIPART_BYTES = 100_000_000  # larger objects go up in parts, which have no media type
MEDIA_TYPES = {".arrows": "application/vnd.apache.arrow.stream", ".jsonl": "application/jsonl"}
UNKNOWN = "application/octet-stream"
_clients: "dict[tuple[int, str | None, bool], S3Client]" = {}
_making = threading.Lock()


class Entry(NamedTuple):
    """One object or file of a listing; `size` in bytes."""

    uri: str
    size: int


def read(uri: str) -> bytes:
    """The whole of an original or a small document."""
    uri = absolute(uri)
    if is_local(uri):
        return fetch(uri)
    import smart_open.s3

    bucket, key = bucket_and_key(uri)

    def act() -> bytes:  # its `open` for URIs reads some keys otherwise, such as with a line's end
        with smart_open.s3.open(bucket, key, "rb", client=s3(), defer_seek=True) as file:
            return bytes(file.read())

    return with_retries("read", uri, act)


def fetch(uri: str) -> bytes:
    """The same without smart_open, whose import takes a while: manifests, checkpoints, models."""
    uri = absolute(uri)
    if is_local(uri):
        return with_retries("read", uri, Path(uri).read_bytes)
    bucket, key = bucket_and_key(uri)

    def act() -> bytes:
        return s3().get_object(Bucket=bucket, Key=key)["Body"].read()

    return with_retries("read", uri, act)


def write(uri: str, data: bytes) -> None:
    """Put `data` at `uri`, complete or not at all."""
    _put(absolute(uri), lambda: io.BytesIO(data), len(data))


def upload(uri: str, file: Path) -> None:
    """Put a local file at `uri`, complete or not at all; large ones in parts."""
    _put(absolute(uri), lambda: file.open("rb"), file.stat().st_size)


def copy(source: str, target: str) -> None:
    """Copy one object; inside one store without passing through this machine."""
    source, target = absolute(source), absolute(target)
    if is_local(source) or is_local(target):
        write(target, read(source))
        return
    bucket, key = bucket_and_key(target)
    old_bucket, old_key = bucket_and_key(source)
    with_retries(
        "copy", source, lambda: s3().copy({"Bucket": old_bucket, "Key": old_key}, bucket, key)
    )


def exists(uri: str) -> bool:
    """Whether an object or file lies at `uri` itself."""
    uri = absolute(uri)
    if is_local(uri):
        return Path(uri).is_file()
    bucket, key = bucket_and_key(uri)
    try:
        with_retries("look up", uri, lambda: s3().head_object(Bucket=bucket, Key=key))
    except NotFoundError:  # HEAD cannot tell a missing object from a missing bucket
        with_retries(
            "look up", uri, lambda: s3().list_objects_v2(Bucket=bucket, MaxKeys=1, Prefix=key)
        )
        return False
    return True


def modified(uri: str) -> float:
    """When an object or file was last written, or put in place, in seconds since 1970.

    A store tells whole seconds: of an object it is the end of that second.
    """
    uri = absolute(uri)
    if is_local(uri):
        found = with_retries("look up", uri, Path(uri).stat)
        return max(found.st_mtime, found.st_ctime)
    bucket, key = bucket_and_key(uri)
    head = with_retries("look up", uri, lambda: s3().head_object(Bucket=bucket, Key=key))
    return head["LastModified"].timestamp() + 1


def listing(uri: str) -> Iterator[Entry]:
    """Every object or file below `uri`, by name; nothing where nothing lies."""
    uri = absolute(uri)
    if is_local(uri):
        yield from with_retries("list", uri, lambda: sorted(_files(uri)))
        return
    bucket, key = bucket_and_key(uri)
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
    while True:
        page = with_retries("list", uri, lambda: s3().list_objects_v2(**request))
        for item in page.get("Contents", []):
            if not item["Key"].endswith("/"):
                yield Entry(f"s3://{bucket}/{item['Key']}", item["Size"])
        if not page["IsTruncated"]:
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def linked_folders(uri: str) -> list[str]:
    """The links to folders below a folder on a disk, which `listing` does not follow, by name."""
    walk = os.walk(absolute(uri)) if is_local(absolute(uri)) else ()
    found = (Path(place, name) for place, names, _ in walk for name in names)
    return sorted(str(path) for path in found if path.is_symlink())


def delete(uris: Iterable[str]) -> None:
    """Delete objects, each named in full: there is no way to delete a whole prefix."""
    for uri in map(absolute, uris):
        with_retries("delete", uri, lambda uri=uri: _delete(uri))  # type: ignore[misc]


def filesystem(uri: str) -> tuple[Any, str]:
    """The `pyarrow.fs` filesystem and the path in it that Ray writes to; holds no credentials."""
    import pyarrow.fs

    uri = absolute(uri)
    if is_local(uri):
        return pyarrow.fs.LocalFileSystem(), uri
    from rayograph.storage.bookkeeping import Objects

    return pyarrow.fs.PyFileSystem(Objects()), uri.removeprefix("s3://")


def _files(folder: str) -> Iterator[Entry]:
    """The files below a folder; those that vanish meanwhile are no error."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        for path in (Path(place, name) for name in names):
            try:
                found = path.stat()
                if stat.S_ISREG(found.st_mode):
                    yield Entry(str(path), found.st_size)
            except FileNotFoundError:
                if path.is_symlink():  # who reads it is told that it leads nowhere
                    yield Entry(str(path), 0)


def _delete(uri: str) -> None:
    if is_local(uri):
        Path(uri).unlink(missing_ok=True)
        with suppress(OSError):  # a bucket has no empty folders either
            Path(uri).parent.rmdir()
    else:
        bucket, key = bucket_and_key(uri)
        s3().delete_object(Bucket=bucket, Key=key)


def _put(uri: str, opened: Callable[[], BinaryIO], size: int) -> None:
    def act() -> None:
        with opened() as source:  # anew for each try
            if is_local(uri):
                _replace(Path(uri), source)
                return
            bucket, key = bucket_and_key(uri)
            kind = _media_type(key)
            if size > MULTIPART_BYTES:
                s3().upload_fileobj(source, bucket, key, ExtraArgs={"ContentType": kind})
            else:
                s3().put_object(Bucket=bucket, Key=key, Body=source, ContentType=kind)

    with_retries("write", uri, act)


def _media_type(key: str) -> str:
    """An object's type by its name: browsers show pages by it, and stores choose what to compress.

    SeaweedFS compresses what has no type if it looks worth it, films for one, and then decompresses
    whole chunks for each part that is read: `python -m benchmarks.serving`.
    """
    return MEDIA_TYPES.get(Path(key).suffix) or mimetypes.guess_type(key)[0] or UNKNOWN


def _replace(path: Path, source: BinaryIO) -> None:
    """Write beside `path`, flush to disk, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def s3() -> "S3Client":
    """The client that all requests of this process go through.

    One for each process, since a forked child cannot share connections, each store, and for the
    time before the store has answered, when its address may be wrong.
    """
    key = (os.getpid(), _endpoint(), proven())
    if key not in _clients:
        with _making:  # many threads may want it at once, and boto3 makes one at a time
            _clients[key] = _clients.get(key) or _client(proven=key[2])
    return _clients[key]


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _client(proven: bool) -> "S3Client":
    """A client that waits for a store's silence, but not for one that has never answered."""
    import boto3
    from botocore.config import Config

    try:
        return boto3.client(
            "s3",
            region_name=os.environ.get("AWS_REGION"),  # which boto3, unlike others, does not read
            config=Config(
                signature_version="s3v4",
                retries={"mode": "standard", "total_max_attempts": 4 if proven else 1},
                connect_timeout=10 if proven else ANSWER_S,
                read_timeout=60 if proven else ANSWER_S,
                max_pool_connections=32,
            ),
        )
    except ValueError as error:
        raise UserError(
            f"{one_line(error)}; AWS_ENDPOINT_URL, or the profile's endpoint_url, is an address "
            "such as https://HOST or http://HOST:PORT"
        ) from None
