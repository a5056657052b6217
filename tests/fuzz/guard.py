"""What a hostile file must not do, seen from inside the process that reads it.

A case is over its limits where it takes more than `SECONDS` of CPU time or its bytes of memory more
than before, where it opens anything outside its folder, connects, or starts a process. A case that
takes the process down is named by the file that it was written to before it began.
"""

import faulthandler
import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 5.0  # of CPU time; most cases take milliseconds
STUCK_S = 120  # of the clock: the process prints its stacks and ends
ROOM = 4_000_000_000  # address space beyond what the process has when it begins
CODE = (
    sys.prefix,
    sys.base_prefix,
    str(Path(__file__).parents[2]),
    "/usr/lib",
    "/usr/share/zoneinfo",
)
SYSTEM = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/etc/localtime", "/etc/mime.types")
FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen",
    "socket.connect", "socket.getaddrinfo", "socket.bind", "pty.spawn", "os.symlink", "os.link",
)  # fmt: skip
PLACES = {"open": 1, "os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.truncate": 1}


class Escaped(AssertionError):
    """A case did what no case may."""


class Guard:
    """Limits for one process; `case` holds one case to them."""

    def __init__(self, scratch: str) -> None:
        self._shared = (scratch, *CODE, *SYSTEM)
        self._folder: str | None = None
        self._seen: list[str] = []
        sys.addaudithook(self._audit)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    @contextmanager
    def case(self, folder: Path, most: int) -> Iterator[None]:
        """Hold what is done within the block to `most` bytes, the limits, and `folder`."""
        faulthandler.dump_traceback_later(STUCK_S, exit=True)
        before, began = _peak(reset=True), time.process_time()
        self._seen.clear()
        self._folder = str(folder)
        try:
            yield
        finally:
            self._folder = None
            faulthandler.cancel_dump_traceback_later()
        if self._seen:
            raise Escaped(f"not its own: {sorted(set(self._seen))[:3]}")
        if (spent := time.process_time() - began) > SECONDS:
            raise Escaped(f"{spent:.1f} s of CPU time")
        if (more := _peak() - before) > most:
            gc.collect()
            raise Escaped(f"{more / 1e6:.0f} MB of memory")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        if event.startswith(FORBIDDEN):
            self._seen.append(f"{event} {arguments[:2]!r}")
        for path in arguments[: PLACES.get(event, 0)]:
            if isinstance(path, str | bytes | os.PathLike):
                place = os.path.normpath(Path.cwd() / os.fsdecode(path))
                own = place == self._folder or place.startswith(self._folder + "/")
                if not own and not place.startswith(self._shared):
                    self._seen.append(f"{event} {place}")


def _peak(reset: bool = False) -> int:
    """The most memory that this process has had, in bytes, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
