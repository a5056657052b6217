"""A command's config: groups of options, filled by a preset and by `group.name=value` overrides."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from rayograph.config import documents, shipped
from rayograph.config.base import Options
from rayograph.config.nearest import nearest
from rayograph.errors import UserError, one_line


class Config(Options):
    """What a command can be told, and nothing else; `command` is how people call it."""

    command: ClassVar[str]
    _commands: ClassVar[list[type["Config"]]] = []

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Remember every command's config, to say whose a key is that another one refuses."""
        super().__pydantic_init_subclass__(**options)
        cls._commands.append(cls)

    @classmethod
    def load(cls, preset: str | None = None, overrides: Sequence[str] = ()) -> Self:
        """The config of a preset (a path, a URI, or a shipped one's name), then of overrides.

        Raises `UserError` for an unknown key, naming the nearest known one, and a refused value.
        """
        tree = documents.read(shipped.find("preset", preset)) if preset else {}
        for override in overrides:
            cls._override(tree, override)
        return cls.parse(tree)

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Self:
        """The config of a nested mapping; `UserError` where it is refused."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise UserError(cls._refusal(error)) from None

    def dump(self) -> str:
        """YAML with each field's meaning and unit beside it; `load` reads it back."""
        lines: list[str] = []
        for group, options in self:
            lines += [f"# {(type(options).__doc__ or '').strip()}", f"{group}:"]
            for name, field in type(options).model_fields.items():
                value = json.dumps(options.model_dump(mode="json")[name])
                lines.append(f"  {f'{name}: {value}':<32}  # {meaning(field)}")
            lines.append("")
        return "\n".join(lines)

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """Every option by its dotted key."""
        return {
            f"{group}.{name}": field
            for group, options in cls._groups().items()
            for name, field in options.model_fields.items()
        }

    def differences(self, other: Self) -> list[str]:
        """The dotted keys of the options that differ."""
        mine, theirs = self.model_dump(), other.model_dump()
        parts = ((key, *key.split(".")) for key in self.fields())
        return [key for key, group, name in parts if mine[group][name] != theirs[group][name]]

    @classmethod
    def check_known(cls, key: str) -> None:
        """Raise `UserError`, with the command that reads the key or the nearest known key."""
        keys = cls.fields()
        if key in keys:
            return
        for other in cls._commands:
            if key in other.fields():
                raise UserError(f"{key}: is an option of `{other.command}`; leave it out here")
        raise UserError(f"{one_line(key)}: unknown key{nearest(key, list(keys))}")

    @classmethod
    def _groups(cls) -> dict[str, type[Options]]:
        found = {}
        for name, field in cls.model_fields.items():
            assert isinstance(field.annotation, type)
            assert issubclass(field.annotation, Options)
            found[name] = field.annotation
        return found

    @classmethod
    def _override(cls, tree: dict[str, Any], override: str) -> None:
        key, equals, value = override.partition("=")
        group, dot, name = key.partition(".")
        if not (equals and dot and group and name):
            raise UserError(
                f"{one_line(override)}: not an override; write key=value, such as train.epochs=5"
            )
        cls.check_known(key)
        options = tree.setdefault(group, {})
        if options is None:
            options = tree[group] = {}
        if not isinstance(options, dict):
            raise UserError(f"{group}: must hold options, not {one_line(options)}")
        plain = cls.fields()[key].annotation in (str, str | None) and value not in documents.NULLS
        options[name] = value if plain else documents.parsed(value, override)

    @classmethod
    def _refusal(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            if "." in key:
                cls.check_known(key)
            return f"{one_line(key)}: unknown key{nearest(key, list(cls.model_fields))}"
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not key:
            return message
        field = cls.fields().get(key)
        about = f" ({meaning(field)})" if field else ""
        value = "" if isinstance(first["input"], dict) else f"={one_line(first['input'])}"
        return f"{one_line(key)}{value}: {message}{about}"


def meaning(field: FieldInfo) -> str:
    """What a field means, and in brackets its unit, in one line."""
    return " ".join((field.description or "").split())
