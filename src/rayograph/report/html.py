"""What the pages share: their templates, figures as markup, and a config as text."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup


@cache
def template(name: str) -> Template:
    """A page's template; what it names must be there, and is escaped."""
    room = Environment(
        loader=PackageLoader("rayograph.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return room.get_template(name)


def markup(svg: str | None) -> Markup | None:
    """A figure, whose text was escaped when it was drawn."""
    return None if svg is None else Markup(svg)


def config_text(config: Mapping[str, Any]) -> str:
    """The config as YAML; what YAML has no word for is written as text."""
    plain = json.loads(json.dumps(dict(config), default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) if plain else ""
