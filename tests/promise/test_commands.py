"""Contract 10, through the real command: a mistake is one line, a result is all of its output."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayograph.config import PackOptions
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.pack import phantom
from tests import ranks
from tests.conftest import packing, rayograph


def refused(*words: str, **environment: str) -> str:
    """What a command says when it refuses: one line, status 2, nothing on standard output."""
    done = rayograph(*words, **environment)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert lines[-1].startswith("rayograph: ")
    assert len(lines) == 1, done.stderr
    return lines[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("train", "demo", "train.epoch=3"),
            "train.epoch: unknown key; did you mean train.epochs?",
        ),
        (("train", "demo", "optim.lr=-1"), "optim.lr=-1: should be greater than 0"),
        (("train", "demo", "data.uri={tmp}/absent"), "no packed dataset"),
        (("train", "demo", "data.uri={data}", "model.name=resnet19"), "did you mean resnet1"),
        (("train", "{tmp}/absent.yaml"), "not found"),
        (("evaluate", "{tmp}"), "neither a run folder nor a model"),
        (("inspect", "{tmp}"), "no packed dataset"),
        (
            ("train", "demo", "data.uri={data}", "pack.size=64"),
            "pack.size: is an option of `rayograph pack`",
        ),
        (("train", "demo", "data.uri={data}", "model.weights=IMAGENET22K"), "cnn has none"),
        (
            ("pack", "{tmp}", "{tmp}/d", "train.epochs=3"),
            "train.epochs: is an option of `rayograph train`",
        ),
        (("train", "demo", "data.uri={data}", "model.weights={tmp}/no.pth"), "not found"),
        (("predict", "{tmp}/x.safetensors", "{tmp}", "{tmp}/out.parquet"), "not found"),
        (
            ("predict", "{tmp}/x.safetensors", "{tmp}", "{tmp}/out.xlsx"),
            "a file of predictions ends in .parquet or .csv",
        ),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], message: str, packed: Dataset, tmp_path: Path
) -> None:
    told = refused(*(word.format(tmp=tmp_path, data=packed.uri) for word in words))
    assert message in told


def test_mistakes_about_the_store_are_one_line(s3: str) -> None:
    absent = ("train", "demo", "data.uri=s3://absent-bucket/d")
    assert "the bucket absent-bucket does not exist" in refused(*absent)
    wrong = refused("inspect", f"{s3}/d", AWS_SECRET_ACCESS_KEY="wrong-secret")
    assert "the store refused the credentials" in wrong
    assert "wrong-secret" not in wrong


def test_mistakes_about_films_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert "no film found" in refused("pack", str(tmp_path / "none"), str(tmp_path / "d"))
    phantom.write(tmp_path / "films", 40, seed=2, size=32)
    shutil.rmtree(tmp_path / "films" / "train" / "opacity")
    told = refused("pack", str(tmp_path / "films"), str(tmp_path / "d"), "pack.size=32")
    assert "the class opacity never occurs in training" in told
    (tmp_path / "t.csv").write_text("path,finding\nx.png,normal\n")
    words = ("pack", str(tmp_path / "t.csv"), str(tmp_path / "d"), "pack.patient_column=none")
    assert "no column label; it has path, finding" in refused(*words)


def test_a_result_alone_goes_to_standard_output(packed: Dataset, tmp_path: Path) -> None:
    inspected = rayograph("inspect", packed.uri, "--verify", "--json")
    assert json.loads(inspected.stdout)["splits"]["train"]["films"] == packed.split("train").rows
    ranks.train(1, tmp_path, packed, "train.epochs=2", "checkpoint.keep=all").finish()
    run = str(tmp_path / "demo")
    found = json.loads(rayograph("evaluate", run, "--all-checkpoints", "--json").stdout)
    assert found["films"] == packed.split("test").rows
    assert [row["epoch"] for row in found["checkpoints"]] == [1, 2]
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    predictions = pq.read_table(tmp_path / "demo" / "evaluation" / "test" / "predictions.parquet")
    assert sorted(predictions.column("sample_id").to_pylist()) == sorted(
        index.read(packed, "test").column("sample_id").to_pylist()
    )
    assert len(list((tmp_path / "demo" / "evaluation" / "looks").iterdir())) == 1
    assert "report.html" in rayograph("report", run).stdout
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    config = rayograph("config", "demo", "optim.lr=0.5").stdout
    assert "lr: 0.5" in config
    assert "[films]" in config


def test_a_model_refuses_films_packed_by_another_recipe(packed: Dataset, tmp_path: Path) -> None:
    phantom.write(tmp_path / "films", 60, seed=3, size=48)
    packing(tmp_path / "films", tmp_path / "other", PackOptions(size=48))
    ranks.train(1, tmp_path, packed, "train.epochs=1").finish()
    told = refused("evaluate", str(tmp_path / "demo"), "--data", str(tmp_path / "other"))
    assert "packed by another recipe than the model's: size: 32, not 48" in told
