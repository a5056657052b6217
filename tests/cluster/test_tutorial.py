"""The tutorial: each of its commands, as it stands there, one after the other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

COMMANDS = ("rayograph ", "python ")


@pytest.mark.cluster
def test_the_commands_of_the_tutorial_do_what_it_says(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "tutorial.md").read_text()
    commands = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    assert commands
    assert all(line.startswith(COMMANDS) for line in commands)
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], check=False, cwd=tmp_path, env={**os.environ, "PATH": beside},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if command.startswith("rayograph evaluate runs/first --with"):
            assert "2 models together" in done.stdout
    for made in ("packed.png", "films.yaml", "new.csv", "first.onnx"):
        assert (tmp_path / made).stat().st_size > 0
    for page in ("report.html", "MODEL_CARD.md", "reporting.md"):
        assert (tmp_path / "runs" / "first" / page).stat().st_size > 0
