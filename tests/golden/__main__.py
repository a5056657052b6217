"""Writes the curves anew: `python -m tests.golden`. A change that needs this says so and why."""

import json
import tempfile
from pathlib import Path

from tests.golden.measure import GOLDEN, machine, measured

with tempfile.TemporaryDirectory() as scratch:
    document = {"machine": machine(), "curves": measured(Path(scratch))}
    GOLDEN.write_text(json.dumps(document, indent=1) + "\n")
