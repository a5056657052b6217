"""Every place is a URI: `s3://bucket/key`, `file:///path`, or a bare path.

The only room that knows boto3, smart_open and pyarrow.fs. boto3 carries checkpoints and signs the
ranged reads of shards, smart_open opens originals and small documents; Ray is given a pyarrow.fs
filesystem over the same requests, so that whatever boto3 is told holds everywhere.
Endpoint and credentials come from the standard AWS variables or the node's role, never from an
argument. A write is complete or absent; what passes is waited for.
"""

from rayograph.storage.lease import held
from rayograph.storage.objects import (
    MULTIPART_BYTES,
    Entry,
    copy,
    delete,
    exists,
    fetch,
    filesystem,
    linked_folders,
    listing,
    modified,
    read,
    upload,
    write,
)
from rayograph.storage.ranges import Ranges
from rayograph.storage.reach import ANSWER_S, answers, impatient
from rayograph.storage.retries import RETRY_TIMEOUT_S, NotFoundError, mark_reachable
from rayograph.storage.uri import absolute, below, is_local, join, like_uri, parent, readable

__all__ = [
    "ANSWER_S",
    "MULTIPART_BYTES",
    "RETRY_TIMEOUT_S",
    "Entry",
    "NotFoundError",
    "Ranges",
    "absolute",
    "answers",
    "below",
    "copy",
    "delete",
    "exists",
    "fetch",
    "filesystem",
    "held",
    "impatient",
    "is_local",
    "join",
    "like_uri",
    "linked_folders",
    "listing",
    "mark_reachable",
    "modified",
    "parent",
    "read",
    "readable",
    "upload",
    "write",
]
