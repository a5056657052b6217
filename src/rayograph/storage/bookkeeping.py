"""Where Ray keeps its own records: a `pyarrow.fs` filesystem over the requests of this room.

pyarrow has an S3 client of its own, which knows neither a profile's endpoint, role or certificate
nor NO_PROXY, does not wait, and is pickled with a proxy's password in it. So what Ray reads, writes
and lists goes the way of everything else. Its records are small, so they are held in memory.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSystemHandler, FileType

from rayograph.storage.objects import delete, exists, fetch, listing, write
from rayograph.storage.retries import mark_reachable


@dataclass(frozen=True)
class Objects(FileSystemHandler):  # type: ignore[misc]
    """What pyarrow asks of a filesystem; paths are `bucket/key`. Holds nothing that is secret."""

    def __reduce__(self) -> Any:
        """Ray's processes get it from a driver that has reached the store."""
        return _unpickled, ()

    def get_type_name(self) -> str:
        """What its type is called; pyarrow adds `py::`."""
        return "s3"

    def normalize_path(self, path: str) -> str:
        """A key is what it is."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        """Whether each is an object, the prefix of some, or nothing."""
        return [FileInfo(path, _kind(path)) for path in paths]

    def get_file_info_selector(self, selector: Any) -> list[FileInfo]:
        """The objects below a prefix, and the prefixes between."""
        found, base = {}, selector.base_dir.rstrip("/")
        for entry in listing(_uri(base)):
            names = entry.uri.removeprefix(_uri(f"{base}/")).split("/")
            for depth in range(1, len(names) + 1 if selector.recursive else 2):
                path = "/".join((base, *names[:depth]))
                file = depth == len(names)
                kind = FileType.File if file else FileType.Directory
                found[path] = FileInfo(path, kind, size=entry.size if file else None)
        if not found and not selector.allow_not_found:
            raise FileNotFoundError(base)
        return list(found.values())

    def create_dir(self, path: str, recursive: bool) -> None:
        """Nothing: a store has no folders."""

    def delete_dir(self, path: str) -> None:
        """Delete each object below a prefix."""
        delete([entry.uri for entry in listing(_uri(path))])

    def delete_file(self, path: str) -> None:
        """Delete an object."""
        delete([_uri(path)])

    def open_input_file(self, path: str) -> pa.NativeFile:
        """An object's bytes."""
        return pa.BufferReader(fetch(_uri(path)))

    open_input_stream = open_input_file

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:  # noqa: ARG002
        """What is written as one object when it is closed."""
        return pa.PythonFile(_Record(_uri(path)), mode="w")

    def _refuse(self, *_: object) -> None:
        raise NotImplementedError("not one of the calls that Ray 2.60 makes; report this traceback")

    copy_file = move = delete_dir_contents = delete_root_dir_contents = _refuse
    open_append_stream = _refuse


class _Record(io.BytesIO):
    def __init__(self, uri: str) -> None:
        super().__init__()
        self._uri = uri

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            write(self._uri, data)


def _unpickled() -> Objects:
    mark_reachable()
    return Objects()


def _uri(path: str) -> str:
    return f"s3://{path}"


def _kind(path: str) -> FileType:
    if exists(_uri(path)):
        return FileType.File
    below = next(listing(_uri(path)), None)
    return FileType.NotFound if below is None else FileType.Directory
