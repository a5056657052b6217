"""What to do when a store does not do what it was asked: wait, try again, explain.

What passes (a store that is busy, restarts, drops a connection or cuts an answer short) is tried
again after growing, random pauses: for `RETRY_TIMEOUT_S` where the store has answered this process
before, for `UNPROVEN_TIMEOUT_S` where it never has, since its address may be wrong.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rayograph.errors import Failure, UserError, one_line
from rayograph.storage.uri import bucket_and_key, is_local

T = TypeVar("T")
RETRY_TIMEOUT_S = 150  # longer than the two minutes that a store's failover may take
UNPROVEN_TIMEOUT_S = 2
MAX_PAUSE_S = 10
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_PASSING = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"}
_answered = threading.Event()  # whether a store has answered this process
_log = logging.getLogger("rayograph.storage")


def mark_reachable() -> None:
    """Say that the store's address is right: another process has reached it."""
    _answered.set()


def proven() -> bool:
    """Whether a store has answered this process, or another one that told it so."""
    return _answered.is_set()


class NotFoundError(UserError):
    """Nothing lies at the URI."""


def with_retries(
    verb: str, uri: str, act: Callable[[], T], closed: threading.Event | None = None
) -> T:
    """What `act` returns; tried again where its error passes, else explained in one line.

    Ends early, with the last error, once `closed` is set. On a disk nothing passes, and boto3 is
    not imported: it takes a quarter of a second.
    """
    if is_local(uri):
        try:
            return act()
        except OSError as error:
            raise _explained_os(verb, uri, error) from error
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    began, tries = time.monotonic(), 0
    while True:
        try:
            done = act()
        except (
            ClientError,
            BotoCoreError,
            Boto3Error,
            OSError,
        ) as error:
            cause = _cause(error)
            timeout = RETRY_TIMEOUT_S if proven() else UNPROVEN_TIMEOUT_S
            spent, tries = time.monotonic() - began, tries + 1
            given_up = spent > timeout or (closed is not None and closed.is_set())
            if given_up or not _passes(cause):
                raise _explained(verb, uri, cause) from error
            pause = random.uniform(0.5, 1) * min(MAX_PAUSE_S, 0.05 * 2**tries)
            if pause > 1:
                _log.warning("%s; trying again", _explained(verb, uri, cause))
            (closed or threading.Event()).wait(pause)
        else:
            _answered.set()
            return done


def _cause(error: BaseException) -> BaseException:
    """What boto3 or the disk raised: smart_open and the multipart upload wrap it."""
    from boto3.exceptions import Boto3Error

    cause = getattr(error, "backend_error", None)
    if cause is None and isinstance(error, Boto3Error):
        cause = error.__cause__ or error.__context__
    return cause or error


def _passes(error: BaseException) -> bool:
    """Whether the same request may succeed in a while."""
    from botocore.exceptions import (
        ClientError,
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
        InvalidProxiesConfigError,
        SSLError,
    )

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or error.response["Error"].get("Code") in _PASSING
    if isinstance(error, (SSLError, InvalidProxiesConfigError)):
        return False
    network = (HTTPClientError, ConnectionError, IncompleteReadError)
    return isinstance(error, (*network, OSError))


def _explained(verb: str, uri: str, cause: BaseException) -> Exception:
    """One line with the URI and a cure for what boto3 or smart_open raised."""
    from botocore.exceptions import ClientError, NoCredentialsError, ProfileNotFound, SSLError

    what = f"{uri}: cannot {verb}"
    if isinstance(cause, ClientError):
        return _client_error(what, uri, cause)
    if isinstance(cause, ProfileNotFound):
        return UserError(f"{what}: {cause}; check AWS_PROFILE")
    if isinstance(cause, NoCredentialsError):
        return UserError(
            f"{what}: no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or give the machine a role"
        )
    if isinstance(cause, SSLError):
        now = os.environ.get("AWS_CA_BUNDLE", "not set")
        return UserError(
            f"{what}: the store is not trusted: {one_line(cause.kwargs['error'])}; set "
            f"AWS_CA_BUNDLE (now: {now}) to a PEM file of the certificate that vouches for it, or "
            "AWS_ENDPOINT_URL to http:// if it has none"
        )
    return _explained_os(verb, uri, cause)


def _explained_os(verb: str, uri: str, cause: BaseException) -> Exception:
    """The same for what a disk raised, or anything else."""
    what = f"{uri}: cannot {verb}"
    if isinstance(cause, (FileNotFoundError, NotADirectoryError)):
        return NotFoundError(f"{uri}: not found; check the path")
    if isinstance(cause, (PermissionError, IsADirectoryError)):
        return UserError(f"{what}: {cause.strerror}; check the path and its permissions")
    return Failure(f"{what}: {one_line(cause)}")


def _client_error(what: str, uri: str, error: Any) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        bucket, _ = bucket_and_key(uri)
        return UserError(
            f"{uri}: the bucket {bucket} does not exist; create it or correct the name"
        )
    if code in _ABSENT:
        return NotFoundError(f"{uri}: not found; check the key")
    if code in _DENIED:
        return UserError(
            f"{what}: the store refused the credentials ({code}); check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, or the role's policy"
        )
    return Failure(f"{what}: {one_line(error)}")
