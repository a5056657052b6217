"""The house's rules: who may import whom, and what stays light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rayograph

ROOT = Path(rayograph.__file__).parent
ROOMS = (
    "errors", "storage", "task", "config", "data", "pack", "models", "runs",
    "evaluate", "train", "advice", "cluster", "search",
)  # fmt: skip  # a room imports only what is to its left
ALLOWED = {room: {*ROOMS[:i]} for i, room in enumerate(ROOMS)} | {
    "config": {"errors", "storage"},
    "task": {"errors"},
    "report": {"task", "runs", "data"},
    "console": {*ROOMS, "report"},
}
ONLY = {  # who alone may import these
    "ray": {"cluster", "search", "console"},
    "boto3": {"storage"}, "botocore": {"storage"}, "smart_open": {"storage"},
    "rich": {"console"}, "typer": {"console"},
}  # fmt: skip
PRIVATE = re.compile(r"\._|_internal|_private|class_cache")
WITHOUT_TORCH = ("storage", "task", "config", "runs", "report", "pack/sources")
AXES = {"image", "table", "multiclass", "multilabel"}  # kinds of samples, tasks
AXES_OWN = {"train/losses.py"}
WITHOUT_AXES = ("train", "data/stream.py", "cluster", "search", "report")
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


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    own = [file for file in FILES if room_of(file) == room]
    assert own, f"there is no room {room}"
    for file in own:
        for module in imported(file):
            first, _, rest = module.partition(".")
            if first == "rayograph" and rest and (other := rest.split(".")[0]) != room:
                assert other in ALLOWED[room], f"{file.relative_to(ROOT)} imports {module}"


def test_there_is_no_other_room() -> None:
    assert {room_of(file) for file in FILES} == {*ALLOWED, "__init__", "__main__"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_what_a_room_hides_is_imported_there_alone(file: Path) -> None:
    for module in imported(file):
        for package, rooms in ONLY.items():
            if module.split(".")[0] == package:
                assert room_of(file) in rooms, module
        if "pyarrow.fs" in module:
            assert room_of(file) == "storage", module
        if module.startswith("ray.") and PRIVATE.search(module):
            assert file.name == "ray_internals.py", module


def loaded_by(*modules: str) -> set[str]:
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_torch_is_not_loaded_where_it_is_not_needed(room: str) -> None:
    files = [file for file in FILES if file.is_relative_to(ROOT / room)]
    names = [file.relative_to(ROOT.parent).with_suffix("").as_posix() for file in files]
    assert "torch" not in loaded_by(*(n.replace("/", ".").removesuffix(".__init__") for n in names))


def test_reading_a_manifest_needs_no_torch_and_training_no_ray() -> None:
    assert "torch" not in loaded_by("rayograph.data.order", "rayograph.data.dataset")
    assert not {"torch", "ray", "mlflow"} & loaded_by("rayograph.train.places")
    assert "ray" not in loaded_by("rayograph.train.loop", "rayograph.train.local")


@pytest.mark.parametrize("place", WITHOUT_AXES)
def test_what_differs_between_samples_and_tasks_is_in_their_own_files(place: str) -> None:
    classes = re.compile(r"^(Image|Film|Table|Record|Multiclass|Multilabel)[A-Z]?")
    for file in FILES:
        name = file.relative_to(ROOT).as_posix()
        if not name.startswith(place) or name in AXES_OWN:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in AXES, f"{name}:{node.lineno}"
            assert not classes.match(getattr(node, "id", "")), f"{name}: {node.id}"
