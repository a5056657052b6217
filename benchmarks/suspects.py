"""Wrong labels planted among real films: how many of them `rayograph suspects` ranks first.

    PYTHONPATH=src .venv/bin/python -m benchmarks.suspects FILMS WORK [films] [seed]

FILMS is the folder of the public paediatric films. Of so many (2,000) training films, drawn by
chance (seed 0), 5 % get the other label. They are packed at 64 pixels in three folds, trained by
`rayograph sweep`, and ranked by `rayograph suspects`. What the source itself has labelled wrongly
is counted as right here, so the precision is a lower bound.
"""

import csv
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

SHARE, FOLDS, SIZE = 0.05, 3, 64
PATIENT = re.compile(r"person\d+|(?:NORMAL2-)?IM-\d+")
SPACE = "sweep.searcher: grid\ndata.fold: {grid: [0, 1, 2]}\n"
TRAINING = ("train.epochs=6", "cluster.workers=1", "checkpoint.keep=1")


def main(films: Path, work: Path, many: int = 2000, seed: int = 0) -> None:
    """Plant, pack, train, rank, count; what is in WORK already is not done again."""
    work.mkdir(parents=True, exist_ok=True)
    planted = _table(films, work / "films.csv", many, seed)
    data, space = work / "packed", work / "folds3.yaml"
    if not data.exists():
        options = (f"pack.size={SIZE}", f"pack.folds={FOLDS}", f"pack.root={films}")
        _rayograph("pack", work / "films.csv", data, *options, "pack.patient_column=patient")
    space.write_text(SPACE)
    words = (f"data.uri={data}", f"run.storage={work}", f"data.image_size={SIZE}")
    _rayograph("sweep", "job/presets/pneumonia.yaml", space, *words, *TRAINING)
    ranked = work / "ranked.parquet"
    _rayograph("suspects", work / "pneumonia-folds3", "--out", ranked)
    names = pq.read_table(ranked).column("sample_id").to_pylist()
    print(json.dumps(counted(names, planted), indent=1))


def counted(names: list[str], planted: set[str]) -> list[dict[str, float]]:
    """How many of those planted are among the first of all that were ranked, for several numbers.

    `lift` is precision over the share of planted ones among all that were ranked.
    """
    hits = [name in planted for name in names]
    total = sum(hits)
    rows = []
    for first in (25, 50, total, 2 * total, 4 * total):
        found = sum(hits[:first])
        precision = found / first
        lift = precision / (total / len(hits))
        rows.append(
            {"first": first, "found": found, "planted": total, "ranked": len(hits),
             "precision": round(precision, 3), "recall": round(found / total, 3),
             "lift": round(lift, 1)}
        )  # fmt: skip
    return rows


def _table(films: Path, place: Path, many: int, seed: int) -> set[str]:
    """Write the table of films with the labels planted in it; the names of these films."""
    chance = random.Random(seed)
    paths = chance.sample(sorted((films / "train").glob("*/*.jpeg")), many)
    wrong = {*chance.sample(paths, round(SHARE * many))}
    with place.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "patient"])
        for path in paths:
            classes = ("normal", "pneumonia")
            said = classes[(path.parent.name == "pneumonia") ^ (path in wrong)]
            match = PATIENT.search(path.name)
            assert match, path
            table.writerow([path.relative_to(films), said, match[0]])
    return {str(path.relative_to(films)) for path in wrong}


def _rayograph(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "rayograph", *map(str, words)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), *map(int, sys.argv[3:]))
