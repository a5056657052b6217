"""The program: its commands, and how each of them ends.

Exit status: 0 done, 1 a failure, 2 a mistake in what was asked, 3 a result that misses
what `--require` asked of it, 130 or 143 stopped by a signal.
"""

import os
import sys
from collections.abc import Sequence

import typer

from rayograph.console import (
    auditing,
    comparing,
    explaining,
    exporting,
    judging,
    looking,
    output,
    packing,
    planning,
    predicting,
    signals,
    sweeping,
    training,
)
from rayograph.errors import Failure, Missed, UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for name, command in (
    ("demo", training.demo),
    ("pack", packing.pack),
    ("inspect", packing.inspect),
    ("plan", planning.plan),
    ("train", training.train),
    ("sweep", sweeping.sweep),
    ("evaluate", judging.evaluate),
    ("compare", comparing.compare),
    ("predict", predicting.predict),
    ("export", exporting.export),
    ("explain", explaining.explain),
    ("suspects", explaining.suspects),
    ("audit", auditing.audit),
    ("report", judging.report),
    ("doctor", looking.doctor),
    ("config", looking.config),
):
    app.command(name)(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    output.keep_standard_output(redirect="--help" not in words)
    signals.install()
    try:
        app(words)
        status = 0
    except SystemExit as error:  # typer's own: 2 for unknown words, 130 for Ctrl-C
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status == signals.INTERRUPTED:
            status = signals.status()
            _complain("interrupted" if status == signals.INTERRUPTED else "terminated")
    except UserError as error:
        status = _complain(str(error), 2)
    except Missed as error:
        status = _complain(str(error), 3)
    except Failure as error:
        status = _complain(str(error), 1)
    output.close()
    if status in (signals.INTERRUPTED, signals.TERMINATED):
        sys.stderr.flush()
        os._exit(status)  # what had to be saved is saved: no thread that still waits is waited for
    sys.exit(status)


def _complain(message: str, status: int = 0) -> int:
    print(
        f"rayograph: {' '.join(message.splitlines())}", file=sys.stderr
    )  # names may have line ends
    return status
