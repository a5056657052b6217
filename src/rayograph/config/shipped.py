"""Presets and spaces by name: those that come with the package, or any path or URI."""

import re
from pathlib import Path

from rayograph import storage
from rayograph.config.nearest import nearest
from rayograph.errors import UserError

FOLDERS = {"preset": Path("job", "presets"), "space": Path("tune", "spaces")}
PACKAGE = Path(__file__).parents[1]


def find(kind: str, name: str) -> str:
    """The place of a preset or a space: the path or URI that `name` is, else a shipped one's."""
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        return storage.absolute(name)
    own = FOLDERS[kind]
    # of a wheel, of a checkout, of a job's working directory
    folders = [PACKAGE / own.name, PACKAGE.parents[1] / own, own.absolute()]
    shipped = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    if name not in shipped:
        raise UserError(
            f"{name}: no such {kind}{nearest(name, list(shipped))}; or give a path or URI"
        )
    return str(shipped[name])
