"""The house's rules: who may import whom, and what stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rayograph

ROOT = Path(rayograph.__file__).parent
ROOMS = (
    "errors", "storage", "task", "config", "data", "pack", "models", "runs",
    "evaluate", "train", "cluster", "search",
)  # fmt: skip  # from left to right
ALSO = {"report": {"errors", "task", "runs", "data", "storage", "evaluate", "config"}}
LIGHT = ("config", "storage", "errors", "data.order", "data.dataset", "evaluate.metrics")
FILES = sorted(ROOT.rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports at any depth, but for type checking only."""
    tree = ast.parse(file.read_text())
    typing_only = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and getattr(test.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    return module.removeprefix("rayograph.").split(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_room_imports_only_rooms_to_its_left(file: Path) -> None:
    own = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if own not in (*ROOMS, *ALSO):
        return
    allowed = ALSO.get(own) or set(ROOMS[: ROOMS.index(own)])
    for module in imported(file):
        if module.startswith("rayograph.") and room_of(module) != own:
            assert room_of(module) in allowed, f"{own} imports {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_ray_stays_in_its_rooms_and_the_store_behind_storage(file: Path) -> None:
    own = file.relative_to(ROOT).parts[0].removesuffix(".py")
    names = {module.split(".")[0] for module in imported(file)}
    if own not in ("cluster", "search", "cli"):
        assert "ray" not in names
    if own != "storage":
        assert not names & {"boto3", "botocore", "smart_open"}
        assert "pyarrow.fs" not in imported(file)


@pytest.mark.parametrize(
    "module",
    [*LIGHT, "evaluate.results", "report.page", "report.load"],
)
def test_torch_is_not_loaded_where_it_is_not_needed(module: str) -> None:
    code = f"import sys, rayograph.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_needs_no_ray() -> None:
    code = (
        "import rayograph.train.loop, rayograph.train.local, sys; assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
