"""Places: `s3://bucket/key`, `file:///path`, or a bare path."""

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import quote, unquote

from rayograph.errors import UserError

USE = "use s3://BUCKET/KEY, file:///PATH or a path"
BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
LIKE = re.compile(  # what only looks like a URI
    r"\s*(?P<scheme>(?:s3[an]?|arn)(?=\s*:|//)|file(?=//)|[a-z][a-z0-9+.-]+(?=\s*:/))(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
AWS = re.compile(  # BUCKET.s3.REGION.amazonaws.com/KEY, s3.REGION.amazonaws.com/BUCKET/KEY, an ARN
    r"(?:([a-z0-9._-]+)\.s3[a-z0-9.-]*\.amazonaws\.com(?:\.cn)?|"
    r"(?:s3[a-z0-9.-]*\.amazonaws\.com(?:\.cn)?/|aws[a-z-]*:s3:::)([a-z0-9._-]+))(?:/(.*))?",
    re.DOTALL,
)


def absolute(uri: str) -> str:
    """`s3://bucket/key` without a trailing slash, or an absolute local path.

    Raises `UserError` for what is neither, such as a URI with a missing slash or in capitals: as a
    path it would become a folder of that name.
    """
    if uri.startswith("s3://"):
        bucket, key = bucket_and_key(uri)
        if not BUCKET.fullmatch(bucket):
            raise UserError(f"{uri}: no bucket{_meant('s3', f'{bucket}/{key}')}")
        return uri.rstrip("/")
    if uri.startswith("file://"):
        host, _, path = uri.removeprefix("file://").partition("/")
        if host not in ("", "localhost") or not path:
            raise UserError(f"{uri}: no path{_meant('file', f'{host}/{path}')}")
        return str(Path("/" + unquote(path, errors="surrogateescape")).absolute())
    if like := LIKE.match(uri):
        raise UserError(f"{uri}: no place{_meant(like['scheme'].lower(), like['rest'])}")
    if re.match(r"[A-Za-z]:[\\/]|\\\\", uri):
        raise UserError(f"{uri}: a path of Windows; give the folder's path on this machine")
    if not uri:
        raise UserError(f"an empty path names no place; {USE}")
    try:
        return str(Path(uri).expanduser().absolute())
    except RuntimeError:  # ~ of nobody
        raise UserError(f"{uri}: no such home folder; give the whole path") from None


def _meant(scheme: str, rest: str) -> str:
    """What somebody may have meant who wrote a scheme and `rest` in a form that is none of ours."""
    rest = re.split(r"^[\s:/\\]+", rest)[-1]
    if scheme in ("http", "https", "arn") and (of_aws := AWS.fullmatch(rest)):
        scheme, rest = "s3", f"{of_aws[1] or of_aws[2]}/{of_aws[3] or ''}".rstrip("/")
    if scheme in ("s3", "s3a", "s3n") and BUCKET.fullmatch(rest.partition("/")[0]):
        return f"; did you mean s3://{rest}?"
    if scheme == "file" and rest:
        return f"; did you mean file:///{rest}?"
    return f"; {USE}"


def like_uri(path: str) -> bool:
    """Whether a path is a URI, or was meant to be one."""
    return LIKE.match(path) is not None


def below(folder: str, path: str) -> str:
    """The place of a relative path, its `./` and `..` resolved: an object store knows neither.

    A key that has `//` or `/./` in it stays as it is.
    """
    if not is_local(folder) and ".." not in path.split("/"):
        return f"{folder.rstrip('/')}/{re.sub(r'^(?:[.]/+)+', '', path)}"
    scheme = "" if is_local(folder) else "s3://"
    return scheme + posixpath.normpath(join(folder.removeprefix(scheme), path))


def readable(uri: str) -> tuple[str, str]:
    """A place, and its name, as text that every file can hold, whatever bytes a disk's name has.

    The place is read as before. Bytes that are no UTF-8 are `%E9` in it, and `\\xe9` in the name.
    """
    name = uri.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return (uri if name == uri else f"file://{quote(os.fsencode(uri))}"), name


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
