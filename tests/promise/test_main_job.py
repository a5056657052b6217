"""The main job on a real Ray and a real store, all by job submit: from films to predictions."""

import io
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from tests import ranks
from tests.conftest import rayograph
from tests.head import submit
from tests.promise.test_equality import history

pytestmark = pytest.mark.cluster


def test_films_in_a_bucket_become_a_model_in_a_bucket(
    cluster: dict[str, str], s3: str, films: Path
) -> None:
    source, dataset, runs = f"{s3}/films", f"{s3}/dataset", f"{s3}/runs"
    for path in sorted(films.rglob("*.png"))[::2]:
        storage.upload(f"{source}/{path.relative_to(films)}", path)
    broken = sorted((films / "train" / "normal").glob("*.png"))[0]
    storage.write(f"{source}/train/normal/p00000_9.png", broken.read_bytes()[:300])
    submit(
        cluster,
        "job/pack.py",
        source,
        dataset,
        "pack.size=32",
        r"pack.patient_pattern=(p\d+)_\d+\.png",
    )
    rejected = pq.read_table(io.BytesIO(storage.read(f"{dataset}/rejected.parquet")))
    assert rejected.column("sample_id").to_pylist() == ["train/normal/p00000_9.png"]

    words = ("demo", f"data.uri={dataset}", f"run.storage={runs}", "data.image_size=32")
    words = (*words, "model.width=8", "model.depth=2", "train.epochs=5", "run.name=ray")
    told = submit(cluster, "job/train.py", *words)
    assert told.count("epoch 5/5  loss") == 1
    run = RunFolder(f"{runs}/ray")
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4, 5]
    assert storage.exists(run.best_model)
    assert 5 in run.checkpoints()
    assert len(run.checkpoints()) <= 3, "more were kept than the two best and the latest"

    found = json.loads(rayograph("evaluate", run.uri, "--json").stdout)
    assert (
        found["films"]
        == Dataset.open(dataset).split("test").rows
        == len([path for path in sorted(films.rglob("*.png"))[::2] if path.parts[-3] == "test"])
    )
    submit(cluster, "job/predict.py", run.uri, f"{source}/test", f"{s3}/predicted.parquet")
    predicted = pq.read_table(io.BytesIO(storage.read(f"{s3}/predicted.parquet")))
    judged = pq.read_table(
        io.BytesIO(storage.read(f"{run.uri}/evaluation/test/predictions.parquet"))
    )
    by_name = dict(zip(judged["source"].to_pylist(), judged["logits"].to_pylist(), strict=True))
    for row in predicted.to_pylist():  # from originals as from shards
        low, high = by_name[row["source"]]
        assert row["p_opacity"] == pytest.approx(1 / (1 + math.exp(low - high)), abs=1e-4)
    submit(cluster, "job/evaluate.py", run.uri, "--split", "val")
    assert storage.exists(f"{run.uri}/evaluation/val/metrics.json")


def test_ray_and_torchrun_have_the_same_loss_curve(
    cluster: dict[str, str], packed, tmp_path: Path
) -> None:
    words = (
        "data.image_size=32",
        "model.width=8",
        "model.depth=2",
        "train.epochs=2",
        "optim.lr=1e-3",
    )
    submit(
        cluster,
        "job/train.py",
        "demo",
        f"data.uri={packed.uri}",
        f"run.storage={tmp_path}/ray",
        *words,
    )
    process = ranks.torchrun(2, tmp_path / "torchrun", packed, *words)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output.decode()
    assert history(tmp_path / "ray" / "demo") == history(tmp_path / "torchrun" / "demo")
