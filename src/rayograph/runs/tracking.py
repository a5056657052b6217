"""An MLflow server beside a run: told by the driver, in a thread, of what the run folder holds.

It never holds a run up. Where the server does not answer, that is said once, and what it lacks is
sent when it answers again, at the latest at the end.
"""

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rayograph import storage
from rayograph.config import MlflowOptions, RunConfig
from rayograph.errors import Failure, Stopped, one_line
from rayograph.runs.folder import RunFolder
from rayograph.runs.mlflow_server import Entry, Server, check, flattened, version

__all__ = ["Entry", "Tracker", "check", "followed", "identity", "places"]

IDENTITY = "mlflow.json"
AGAIN_S = 10.0  # between two tries of a server that does not answer
CLOSE_S = 15.0  # that the end of a run waits for what is not sent yet
Show = Callable[[Mapping[str, Any]], None]
FEW = 3  # names in a message
log = logging.getLogger("rayograph.tracking")


class Tracker:
    """Sends what it is told in a thread of its own; the newest entry of a run counts."""

    def __init__(self, options: MlflowOptions) -> None:
        self._options = options
        self._server = Server(options)
        self._unsent: dict[str, Entry] = {}
        self._news = threading.Condition()
        self._closing = self._troubled = False
        self._thread = threading.Thread(target=self._send, name="mlflow", daemon=True)
        self._thread.start()

    def tell(self, entry: Entry) -> None:
        """Have the server know this; a sweep before its trials. Returns at once."""
        with self._news:
            self._unsent[entry.id] = entry
            self._news.notify()

    def close(self) -> None:
        """Send what is left, for `CLOSE_S` at most, and say so where that is too short."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(CLOSE_S)
        with self._news:
            names = [entry.name for entry in self._unsent.values()]
        if names:
            more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
            log.warning(
                "mlflow.uri=%s: does not know all of %s%s; the run folder does",
                self._options.uri,
                ", ".join(names[:FEW]),
                more,
            )

    def _send(self) -> None:
        while True:
            with self._news:
                if not self._closing and (self._troubled or not self._unsent):
                    self._news.wait(AGAIN_S if self._troubled else None)
                last, entries = self._closing, list(self._unsent.values())
            for entry in entries:
                if not self._sent(entry):
                    break
            if last and (self._troubled or not self._unsent):
                return

    def _sent(self, entry: Entry) -> bool:
        try:
            self._server.tell(entry)
        except Exception as error:  # of MLflow, the network, the store: none of it ends a run
            if not self._troubled:
                log.warning(
                    "mlflow.uri=%s: %s; training goes on, and what the server lacks is sent "
                    "when it answers, at the latest at the end",
                    self._options.uri,
                    one_line(error),
                )
            self._server.forget()
            self._troubled = True
            return False
        self._troubled = False
        with self._news:
            if self._unsent[entry.id] is entry:
                del self._unsent[entry.id]
        return True


@contextmanager
def followed(
    config: RunConfig, folder: RunFolder, fingerprint: str, leads: bool = True
) -> Iterator[Callable[[Show], Show]]:
    """Tell the config's server of a run within the block; of several processes, one `leads`.

    What is yielded makes of whatever shows an epoch's row one that the server hears of, too.
    """
    if config.mlflow.uri is None or not leads:
        yield lambda show: show
        return
    tags = {"rayograph.version": version(), "rayograph.fingerprint": fingerprint}
    entry = Entry(
        id=identity(folder.uri),
        name=config.run.name,
        params=flattened(config),
        tags=lambda: tags | places(folder),
        rows=folder.history,
    )
    tracker = Tracker(config.mlflow)

    def follow(show: Show) -> Show:
        def shown(row: Mapping[str, Any]) -> None:
            show(row)
            tracker.tell(entry)

        return shown

    tracker.tell(entry)
    state = "FAILED"
    try:
        yield follow
        state = "FINISHED"
    except (KeyboardInterrupt, SystemExit, Stopped):
        state = "KILLED"
        raise
    finally:
        tracker.tell(replace(entry, state=state))
        tracker.close()


def places(folder: RunFolder) -> dict[str, str]:
    """Where the run's results lie, as tags; the report is there once `rayograph report` made it."""
    found = {
        "rayograph.run": folder.uri,
        "rayograph.report": storage.join(folder.uri, "report.html"),
    }
    if latest := folder.latest():
        found |= {"rayograph.checkpoint": latest, "rayograph.best_model": folder.best_model}
    return found


def identity(uri: str) -> str:
    """Who a run or a sweep is to MLflow: drawn once, and kept in its folder at `uri`.

    Its place would not do: another machine may have the same path, and a folder may be made anew.
    """
    place = storage.join(uri, IDENTITY)
    if not storage.exists(place):
        document = {"id": secrets.token_hex(16)}
        storage.write(place, json.dumps(document).encode())
        return document["id"]
    try:
        found = json.loads(storage.read(place))["id"]
        if isinstance(found, str) and found.isalnum():
            return found
        raise ValueError("it has no id of letters and digits")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Failure(
            f"{place}: is damaged: {one_line(error)}; delete it for a new run there"
        ) from None
