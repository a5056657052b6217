"""The curves of this machine, from one process and from two."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy
import torch

from rayograph.config import PackOptions
from rayograph.pack import phantom
from tests import ranks
from tests.conftest import packing
from tests.golden import curves

GOLDEN = Path(__file__).parent / "losses.json"
FILMS = 1500  # 64 lanes need 1,009 training films


def machine() -> str:
    """What the last bits of a loss hang on: the processor's abilities and the libraries."""
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    able = [line for line in cpu if line.startswith(("model name", "flags", "Features"))][:2]
    told = [*able, torch.__version__, numpy.__version__]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def measured(scratch: Path) -> dict[str, Any]:
    """The curves by number of processes."""
    phantom.write(scratch / "films", FILMS, seed=5, size=40)
    options = PackOptions(size=40, patient_pattern=phantom.PATIENT_PATTERN)
    dataset = packing(scratch / "films", scratch / "packed", options)
    found = {}
    for processes in (1, 2):
        place = scratch / f"{processes}.json"
        log = scratch / f"{processes}.txt"
        ranks.start(processes, log, curves.write, dataset.uri, scratch, place).finish()
        found[str(processes)] = json.loads(place.read_text())
    return found
