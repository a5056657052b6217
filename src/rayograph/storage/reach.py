"""Whether somebody answers at an address, before a library is let go that waits for minutes."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from rayograph.errors import Failure, UserError, one_line

ANSWER_S = 5.0  # from the request to the answer's head, names looked up and proxies passed
SILENT_S = 20.0  # without a byte, once it has begun to answer


def answers(what: str, url: str, cure: str) -> None:
    """Ask for the head of an `http://` or `https://` URL, through the proxies of the environment.

    `what` was asked for (`key=value`), `cure` is what to do. Raises `Failure` where nobody answers
    within `ANSWER_S`, or the server has a trouble of its own, and `UserError` where it refuses.
    """
    found: list[int | Exception] = []

    def ask() -> None:
        try:
            request = Request(url, headers={"User-Agent": "rayograph"})
            with urlopen(request, timeout=ANSWER_S) as answer:
                found.append(answer.status)
        except HTTPError as error:
            found.append(error.code)
        except (OSError, ValueError, http.client.HTTPException) as error:
            found.append(error)

    asking = threading.Thread(target=ask, name="reach", daemon=True)  # a name may take longer
    asking.start()
    asking.join(ANSWER_S)
    host, path = urlsplit(url).netloc, urlsplit(url).path or "/"
    said = found[0] if found else TimeoutError()
    if isinstance(said, TimeoutError) or isinstance(getattr(said, "reason", None), TimeoutError):
        raise Failure(f"{what}: {host} did not answer within {ANSWER_S:g} s; {cure}")
    if isinstance(said, Exception):
        raise Failure(f"{what}: {host} cannot be reached: {one_line(said)}; {cure}")
    if said >= 500:
        raise Failure(f"{what}: {host} answered {said} for {path}; {cure}")
    if said >= 400:
        raise UserError(f"{what}: {host} answered {said} for {path}; {cure}")


@contextmanager
def impatient() -> Iterator[None]:
    """Let libraries without a timeout of their own wait `SILENT_S` for each piece, not forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENT_S if before is None else before)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
