"""`predict` part by part: killed and started again, in the source's order, errors beside rows."""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from rayograph import storage
from rayograph.config import RunConfig, SourceOptions
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import Recipe
from rayograph.errors import Failure, UserError
from rayograph.evaluate.predict import table as tables
from rayograph.evaluate.predict.parts import PART, Predictor, cut, places, predict
from rayograph.pack.ahead import AHEAD
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import Original, unlabelled
from rayograph.train import local
from rayograph.train.stops import deaf
from tests import faults
from tests.conftest import rayograph
from tests.faults import Fault

COUNT = 6 * PART - 30


@pytest.fixture(scope="module")
def model(packed: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of phantoms at 32 pixels."""
    words = [f"data.uri={packed.uri}", f"run.storage={tmp_path_factory.mktemp('runs')}"]
    words += ["data.image_size=32", "model.width=4", "model.depth=2", "train.epochs=1"]
    return local.run(RunConfig.load("demo", words), lambda _row: None, deaf).best_model


@pytest.fixture
def originals(films: Path) -> list[Original]:
    """A part of phantoms, and some of the next one."""
    found = sorted(films.rglob("*.png"))[: PART + 10]
    return [Original(sample_id=film.name, uri=str(film)) for film in found]


@pytest.mark.cluster
def test_a_killed_command_goes_on_and_writes_what_one_process_would(
    model: str, packed: Dataset, films: Path, s3: str, tmp_path: Path
) -> None:
    source, out = f"{s3}/to-predict", f"{s3}/predicted.csv"
    for i, film in enumerate(sorted(films.rglob("*.png"))[:COUNT]):
        storage.write(f"{source}/{i:04}.png", film.read_bytes()[: 40 if i == 5 else None])
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        proxy.plan(Fault("latency", "GET", "*/to-predict/*.png", times=None, seconds=0.08))
        environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.endpoint}
        command = [sys.executable, "-m", "rayograph", "predict", model, source, out]
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        while len(places(f"{out}.parts")) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        asked = -1
        while asked < (asked := len(proxy.requests)):  # its workers end, too
            time.sleep(2)
        kept = len(places(f"{out}.parts"))
        assert 2 <= kept < 6
        assert not storage.exists(out)
        proxy.calm()
        before = len(proxy.requests)
        again = rayograph(*command[3:], AWS_ENDPOINT_URL=proxy.endpoint)
        assert again.returncode == 0, again.stderr
        read = [
            request.path
            for request in proxy.requests[before:]
            if request.method == "GET" and request.path.endswith(".png")
        ]
    assert len(read) == len(set(read))
    assert COUNT - len(read) in (kept * PART, kept * PART - 30), "what was kept is not read again"
    assert f"{COUNT - len(read)} were predicted by a command that was interrupted" in again.stderr
    assert not list(storage.listing(f"{out}.parts"))

    predictor, recipe = Predictor.of([model]), packed.manifest.recipe
    alone = tmp_path / "alone.csv"
    with tables.written(str(alone)) as file:
        parts = cut(predictor, _listed(source, recipe), None)
        for rows in map(predictor, parts):
            file.write_table(rows)
    assert storage.read(out) == alone.read_bytes()
    with alone.open() as text:
        told = list(csv.DictReader(text))
    assert [row["sample_id"] for row in told] == [f"{i:04}.png" for i in range(COUNT)]
    assert [i for i, row in enumerate(told) if row["error"]] == [5]
    assert "1 unreadable" in again.stdout


def _listed(source: str, recipe: Recipe) -> list[Original]:
    return unlabelled(source, recipe, SourceOptions())


def test_parts_are_taken_again_only_of_the_same_model_and_the_same_films(
    model: str, originals: list[Original], tmp_path: Path
) -> None:
    folder, predictor = str(tmp_path / "out.parts"), Predictor.of([model])
    film = tmp_path / "film.png"
    film.write_bytes(storage.read(originals[0].uri))
    originals[0] = Original(sample_id="film", uri=str(film))
    gone = Original(sample_id="gone", uri=str(tmp_path / "gone.png"))

    def done(predictor: Predictor, originals: list[Original]) -> list[bool]:
        return [part.done for part in cut(predictor, originals, folder)]

    assert done(predictor, originals) == [False, False]
    time.sleep(0.05)  # the disk's clock ticks
    first = list(map(predictor, cut(predictor, originals, folder)))
    assert done(predictor, originals) == [True, True]
    other = replace(predictor, digest="another")
    assert done(other, originals) == [False, False]
    assert done(predictor, [*originals[1:], originals[0]]) == [False, False]

    kept = list(map(predictor, cut(predictor, originals, folder)))
    assert pa.concat_tables(kept).equals(pa.concat_tables(first))
    film.write_bytes(storage.read(originals[1].uri))
    anew = list(map(predictor, cut(predictor, originals, folder)))
    assert anew[0]["p_opacity"][0] == first[0]["p_opacity"][1] != first[0]["p_opacity"][0]
    assert anew[1].equals(first[1])

    longer = [*originals, gone]
    told = [list(map(predictor, cut(predictor, longer, folder))) for _ in range(2)]
    assert told[1][-1]["error"][-1].as_py() == f"no such file: {gone.uri}"
    storage.write(gone.uri, storage.read(originals[1].uri))
    (_, last) = map(predictor, cut(predictor, longer, folder))
    assert last["error"].null_count == len(last), "what could not be read is tried again"


def test_a_film_that_cannot_be_read_is_a_row_and_a_store_that_is_away_is_not(
    model: str, originals: list[Original], tmp_path: Path
) -> None:
    refused = Original(sample_id="a folder", uri=str(tmp_path))
    few = [originals[0], refused, originals[1]]
    table = predict(model, few, one_by_one)
    assert table["sample_id"].to_pylist() == [each.sample_id for each in few]
    assert [error and "cannot read" in error for error in table["error"].to_pylist()] == [
        None, True, None,
    ]  # fmt: skip
    with pytest.raises((Failure, UserError), match="cannot read"):
        predict(model, [*few, *[refused] * AHEAD], one_by_one)
