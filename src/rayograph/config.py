"""The one tree of options: presets in, `a.b=c` overrides in, one-line errors out.

YAML scalars are read as text and converted by pydantic, so that `1e-3` is a number where a number
belongs, and `no` stays a word where a word belongs.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo

from rayograph import storage
from rayograph.cluster.options import ClusterOptions
from rayograph.data.options import AugmentOptions, DataOptions, PackOptions, PhantomOptions
from rayograph.errors import UserError, one_line
from rayograph.models.options import ModelOptions
from rayograph.search.options import SweepOptions
from rayograph.train.options import CheckpointOptions, OptimOptions, RunOptions, TrainOptions


class Config(BaseModel, frozen=True, extra="forbid"):
    """Everything that can be chosen about a run."""

    run: RunOptions = RunOptions()
    data: DataOptions = DataOptions()
    phantom: PhantomOptions = PhantomOptions()
    pack: PackOptions = PackOptions()
    augment: AugmentOptions = AugmentOptions()
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    optim: OptimOptions = OptimOptions()
    checkpoint: CheckpointOptions = CheckpointOptions()
    cluster: ClusterOptions = ClusterOptions()
    sweep: SweepOptions = SweepOptions()

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        size, workers = self.train.batch_size, self.cluster.most
        if size < 2 * workers:
            raise ValueError(
                f"train.batch_size={size} is too small for cluster.workers={workers}: a worker "
                f"needs 2 films a step; use at least {2 * workers}, or fewer workers"
            )
        gpus = self.cluster.gpus_per_worker
        if self.model.norm == "sync" and not gpus:
            raise ValueError("model.norm=sync needs GPUs; use model.norm=group on CPUs")
        if self.model.norm == "sync" and self.train.micro_batch:
            raise ValueError(
                "train.micro_batch and model.norm=sync exclude each other: workers "
                "of uneven shares would make unequally many passes; use model.norm=group"
            )
        if 0 < gpus < 1 < workers:
            raise ValueError(
                f"cluster.gpus_per_worker={gpus:g}: a part of a GPU is for one worker;"
                " several need a GPU each"
            )
        return self


def load(preset: str | None = None, overrides: Sequence[str] = ()) -> Config:
    """The config of a preset (a path, a URI, or a shipped preset's name) with overrides applied.

    Raises `UserError` for an unknown key, naming the nearest known one, and for a refused value.
    """
    tree = read(find("preset", preset)) if preset else {}
    for override in overrides:
        _override(tree, override)
    return parse(tree)


def parse(tree: dict[str, Any]) -> Config:
    """The config of a nested mapping; paths are made absolute, since workers run elsewhere."""
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(_one_line(error)) from None
    run = config.run.model_copy(update={"storage": storage.absolute(config.run.storage)})
    if run.start_from:
        run = run.model_copy(update={"start_from": storage.absolute(run.start_from)})
    data, model = config.data, config.model
    if data.uri != "phantom":
        data = data.model_copy(update={"uri": storage.absolute(data.uri)})
    if data.cache:
        if not storage.is_local(folder := storage.absolute(data.cache)):
            raise UserError(f"data.cache={data.cache}: takes a folder on a node's own disk")
        data = data.model_copy(update={"cache": folder})
    if model.weights and is_place(model.weights):
        model = model.model_copy(update={"weights": storage.absolute(model.weights)})
    return config.model_copy(update={"run": run, "data": data, "model": model})


def is_place(weights: str) -> bool:
    """Whether `model.weights` is a path or URI; torchvision's own names have no dot or slash."""
    return "/" in weights or "." in weights


SHIPPED = {"preset": Path("job", "presets"), "space": Path("tune", "spaces")}


def find(kind: str, name: str) -> str:
    """The place of a preset or a space: the path or URI that `name` is, else a shipped one's."""
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        return storage.absolute(name)
    here, own = Path(__file__).parent, SHIPPED[kind]
    # of a wheel, of a checkout, of a job's working directory
    folders = [here / own.name, here.parents[1] / own, own.absolute()]
    shipped = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    if name not in shipped:
        raise UserError(
            f"{name}: no such {kind}{_nearest(name, list(shipped))}; or give a path or URI"
        )
    return str(shipped[name])


def dump(config: Config, without: Sequence[str] = ()) -> str:
    """The config as YAML with each field's meaning and unit beside it; `load` reads it back."""
    lines: list[str] = []
    for room, group in config:
        if room in without:
            continue
        lines += [f"# {(type(group).__doc__ or '').strip()}", f"{room}:"]
        for name, field in type(group).model_fields.items():
            value = json.dumps(group.model_dump(mode="json")[name])
            lines.append(f"  {f'{name}: {value}':<32}  # {field.description} [{unit(field)}]")
        lines.append("")
    return "\n".join(lines)


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Every option's dotted key and its field."""
    for room, group in Config.model_fields.items():
        options = group.annotation
        assert isinstance(options, type)
        assert issubclass(options, BaseModel)
        for name, field in options.model_fields.items():
            yield f"{room}.{name}", field


def unit(field: FieldInfo) -> str:
    """The unit that a field's value is in."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else ""


DEEPEST = 20


class _TextLoader(yaml.BaseLoader):
    """Reads every scalar as text, but for null; a tag constructs nothing; a key stands once.

    There are no aliases: a few lines of them stand for any number of values.
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
            raise yaml.YAMLError(f"the key {twice} stands twice")
        return mapping


_TextLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_TextLoader.add_constructor("tag:yaml.org,2002:null", lambda _loader, _node: None)


LONGEST = 200_000  # characters of a YAML document, of which PyYAML reads 50,000 a second


def _yaml(text: str, place: str) -> Any:
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
        tree = _yaml(storage.read(place).decode(), place)
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


def known(key: str) -> None:
    """Raise `UserError` with the nearest known key unless there is such an option."""
    keys = [name for name, _ in fields()]
    if key not in keys:
        raise UserError(f"{one_line(key)}: unknown key{_nearest(key, keys)}")


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    room, dot, name = key.partition(".")
    if not (equals and dot and room and name):
        raise UserError(
            f"{one_line(override)}: not an override; write key=value, such as train.epochs=5"
        )
    known(key)
    group = tree.setdefault(room, {})
    if group is None:
        group = tree[room] = {}
    if not isinstance(group, dict):
        raise UserError(f"{room}: must hold options, not {one_line(group)}")
    group[name] = _yaml(value, override)


def _nearest(word: str, known: list[str]) -> str:
    """`; did you mean …?`: the nearest by letters, else what its own room holds."""
    word = word[:100]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    if not close:
        leaves = {key.rpartition(".")[2]: key for key in known}
        leaf = difflib.get_close_matches(word.rpartition(".")[2], list(leaves), n=1, cutoff=0.75)
        close = [leaves[leaf[0]]] if leaf else []
    if not close:
        close = [key for key in known if key.partition(".")[0] == word.partition(".")[0]]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    if first["type"] == "extra_forbidden":
        names = [name for name, _ in fields()] if "." in key else list(Config.model_fields)
        return f"{one_line(key)}: unknown key{_nearest(key, names)}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not key:
        return message
    meaning = dict(fields()).get(key)
    about = f" ({meaning.description} [{unit(meaning)}])" if meaning else ""
    value = "" if isinstance(first["input"], dict) else f"={one_line(first['input'])}"
    return f"{one_line(key)}{value}: {message}{about}"
