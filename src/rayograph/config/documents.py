"""YAML as options are written in it: every scalar is text, which pydantic converts.

So `1e-3` is a number where a number belongs, and `no` stays a word where a word belongs.
"""

import json
import re
from collections import Counter
from typing import Any

import yaml

from rayograph import storage
from rayograph.errors import UserError, one_line

DEEPEST = 20
LONGEST = 200_000  # characters of a document, of which PyYAML reads 50,000 a second


class _TextLoader(yaml.BaseLoader):
    """Reads every scalar as text, but for null; a tag constructs nothing; a key appears once.

    There are no aliases: a few lines of them stand for any number of values. `BaseLoader` alone
    takes the last of two equal keys without a word, and 0.7 s for 3,000 brackets.
    """

    def fetch_more_tokens(self) -> None:
        if self.flow_level > DEEPEST:  # PyYAML's time grows with its square
            raise yaml.YAMLError(f"more than {DEEPEST} brackets deep")
        super().fetch_more_tokens()

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name); write out its value")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            keys = Counter(str(key.value) for key, _ in node.value)
            twice, _ = keys.most_common(1)[0]
            raise yaml.YAMLError(f"the key {twice} appears twice")
        return mapping


NULLS = ("~", "null", "Null", "NULL", "")
_TextLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(f"^({'|'.join(NULLS)})$"), ["~", "n", "N", ""]
)
_TextLoader.add_constructor("tag:yaml.org,2002:null", lambda _loader, _node: None)


def parsed(text: str, place: str) -> Any:
    """What a YAML text holds, every scalar of it as text; `UserError`, naming `place`."""
    if len(text) > LONGEST:
        raise UserError(
            f"{place}: {len(text):,} characters, more than the {LONGEST:,} of any options"
        )
    try:
        return yaml.load(text, Loader=_TextLoader)  # builds text, lists and mappings only
    except yaml.YAMLError as error:
        raise UserError(f"{place}: not YAML: {one_line(error)}") from None
    except RecursionError:
        raise UserError(f"{place}: not YAML: too deep") from None


def read(place: str) -> dict[str, Any]:
    """The mapping that the YAML document at `place` holds, every scalar of it as text."""
    try:
        tree = parsed(storage.read(place).decode(), place)
    except UnicodeDecodeError:
        raise UserError(f"{place}: not YAML: not text in UTF-8") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise UserError(f"{place}: must be a mapping of options, such as `data:` or `optim.lr:`")
    return tree


def text(value: Any) -> str:
    """A value as an override can say it."""
    return value if isinstance(value, str) else json.dumps(value)
