"""Parts of objects, into the caller's memory."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from rayograph.errors import Failure
from rayograph.storage.connections import Connections, Refused
from rayograph.storage.objects import s3
from rayograph.storage.retries import with_retries
from rayograph.storage.uri import absolute, bucket_and_key, is_local

SIGNED_S = 600  # how long a signed URL is used again; its signature holds for longer


class Ranges:
    """Reads parts of objects into the caller's memory, over kept connections of its own.

    Safe to use from several threads. `close` ends the reads that are under way.
    """

    def __init__(self) -> None:
        self._connections = Connections()
        self.closed = self._connections.closed  # set by `close`, for those who wait
        self._signed: dict[str, tuple[float, str]] = {}

    def read(self, uri: str, offset: int, *into: memoryview) -> None:
        """Fill `into`, one after the other, with the bytes of an object from `offset`.

        One request brings them all. Fewer bytes are a `Failure`.
        """
        uri, wanted = absolute(uri), sum(map(len, into))

        def act() -> None:
            if is_local(uri):
                with Path(uri).open("rb", buffering=0) as file:
                    got = os.preadv(file.fileno(), into, offset)
            else:
                got = self._get(uri, offset, into)
            if got != wanted:
                raise Failure(
                    f"{uri}: {got} bytes at {offset} where {wanted} should be: cut short?"
                )

        with_retries("read", uri, act, self.closed)

    def close(self) -> None:
        """End every read that is under way, with an error in its own thread."""
        self._connections.close()

    def _get(self, uri: str, offset: int, into: Sequence[memoryview]) -> int:
        """A ranged GET at a fifth of boto3's cost; boto3 explains, or follows, a refusal."""
        try:
            return self._connections.get(self._url(uri), offset, into)
        except Refused:
            self._signed.pop(uri, None)
            bucket, key = bucket_and_key(uri)
            wanted = sum(map(len, into))
            span = f"bytes={offset}-{offset + wanted - 1}"
            data = s3().get_object(Bucket=bucket, Key=key, Range=span)["Body"].read()
        if len(data) > wanted:
            raise Failure(f"{uri}: {len(data)} bytes came for {span}: the store ignores ranges")
        rest = memoryview(data)
        for part in into:
            own, rest = rest[: len(part)], rest[len(part) :]
            part[: len(own)] = own
        return len(data)

    def _url(self, uri: str) -> str:
        now = time.monotonic()
        until, url = self._signed.get(uri, (0.0, ""))
        if until < now:
            bucket, key = bucket_and_key(uri)
            url = s3().generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=6 * SIGNED_S
            )
            self._signed[uri] = (now + SIGNED_S, url)
        return url
