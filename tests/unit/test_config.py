"""Contract 10: one line that names the value, the rule and the cure."""

import re
from pathlib import Path

import pytest
import yaml

from rayograph.config import PackConfig, PredictConfig, RunConfig, SweepConfig
from rayograph.config.tree import meaning
from rayograph.errors import UserError

PRESETS = sorted((Path(__file__).parents[2] / "job" / "presets").glob("*.yaml"))


def test_every_option_has_a_description_and_a_unit() -> None:
    for command in (PackConfig, PredictConfig, SweepConfig):
        for key, field in command.fields().items():
            assert re.fullmatch(r".+ \[.+\]", meaning(field)), key


def test_what_is_dumped_is_read_back(tmp_path: Path) -> None:
    wanted = RunConfig.load(None, ["optim.lr=1e-3", "checkpoint.keep=all", "run.name=no"])
    (tmp_path / "c.yaml").write_text(wanted.dump())
    assert RunConfig.load(str(tmp_path / "c.yaml")) == wanted
    assert wanted.optim.lr == 0.001
    assert wanted.run.name == "no"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optim.learning_rte=1", "optim.learning_rte: unknown key; did you mean optim."),
        ("train.epoch=1", "train.epoch: unknown key; did you mean train.epochs?"),
        ("optim.lr=-1", "optim.lr=-1: should be greater than 0"),
        ("train.batch_size=many", "train.batch_size=many: should be a valid integer"),
        ("optim.name=lion", "optim.name=lion: should be 'adamw', 'adam' or 'sgd'"),
        ("cluster.workers=20", "use at least 40, or fewer workers"),
        ("augment.scale=[1, 0.5]", "must be min ≤ max"),
        ("lr", "lr: not an override; write key=value"),
        ("pack.size=64", "pack.size: is an option of `rayograph pack`; leave it out here"),
        ("sweep.seed=1", "sweep.seed: is an option of `rayograph sweep`"),
        ("run.storage=gs://x", "gs://x: no place; use s3://BUCKET/KEY"),
        (
            "data.cache=s3://films/x",
            "data.cache=s3://films/x: must be a folder on a node's own disk",
        ),
    ],
)
def test_a_mistake_is_one_line_with_the_cure(override: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        RunConfig.load(None, [override])
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_places_are_absolute_since_workers_run_elsewhere() -> None:
    words = ["run.storage=runs", "data.uri=films", "data.cache=~/cache"]
    found = RunConfig.load(None, words)
    for place in (found.run.storage, found.data.uri, found.data.cache):
        assert place is not None
        assert Path(place).is_absolute()


@pytest.mark.parametrize(
    "text", ["train: {epochs: 1, epochs: 2}", "- a", "train: [", "train: 3", "a: &x [*x]"]
)
def test_a_preset_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        RunConfig.load(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(error.value)


def test_a_yaml_tag_constructs_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("run: {name: !!python/object/apply:os.system ['touch pwned']}")
    with pytest.raises(UserError):
        RunConfig.load(str(bad))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.stem)
def test_a_preset_states_only_what_deviates(preset: Path) -> None:
    defaults = RunConfig().model_dump()
    resolved = RunConfig.load(preset.stem).model_dump()
    for room, options in yaml.safe_load(preset.read_text()).items():
        for name in options:
            assert resolved[room][name] != defaults[room][name], f"{room}.{name} is the default"


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match="pneumona: no such preset; did you mean pneumonia"):
        RunConfig.load("pneumona")
