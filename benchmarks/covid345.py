"""The paper's preset beside the strong one, on 345 of the paediatric films in the paper's shape.

    python -m benchmarks.covid345 FILMS WORK [--seeds 41 42 43 44 45]

FILMS is the folder of the public paediatric films. Of each part and class those are drawn whose
names have the smallest sha256: 149 and 110 for training, pneumonia and normal, 46 and 40 for
testing. Both presets are trained once for each seed, and judged at the likelier class. The
difference of accuracy and AUROC is the mean over the seeds, with two intervals: a bootstrap over
patients and seeds at once, and Student's of the seeds' differences, for these films alone. What is
in WORK is not done again.
"""

import argparse
import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.special import expit
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from benchmarks.ablation import rayograph, spread
from benchmarks.suspects import PATIENT

DRAWN = (
    ("train", "pneumonia", 149), ("train", "normal", 110),
    ("test", "pneumonia", 46), ("test", "normal", 40),
)  # fmt: skip
PRESETS = ("covid345", "covid345-strong")
RESAMPLES = 2000


def main() -> None:
    """Draw, pack, train, judge; print a row a preset, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[41, 42, 43, 44, 45])
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    packed = told.work / "packed"
    if not packed.exists():
        table = _drawn(told.films, told.work / "films.csv")
        words = ("pack.patient_column=patient", "pack.split_column=split", "pack.val=cut")
        rayograph("pack", table, packed, f"pack.root={told.films}", *words)
    tables: dict[str, list[Any]] = {name: [] for name in PRESETS}
    for seed in told.seeds:
        for name in PRESETS:
            tables[name].append(_judged(told.work / "runs", packed, name, seed))
    for name, found in tables.items():
        right, auroc, seconds = zip(*[(*_scores(table), s) for table, s in found], strict=True)
        print(f"| {name} | {spread(right)} | {spread(auroc)} | {spread(seconds)} |")
    predictions = [[_columns(table) for table, _ in tables[name]] for name in PRESETS]
    for place, metric in enumerate(("accuracy", "AUROC")):
        pairs = zip(*(tables[name] for name in PRESETS), strict=True)
        each = [_scores(two)[place] - _scores(one)[place] for (one, _), (two, _) in pairs]
        half = float(t.ppf(0.975, len(each) - 1)) * np.std(each, ddof=1) / np.sqrt(len(each))
        mean, low, high = _difference(predictions, place)
        print(
            f"{metric}: {mean:+.3f}; over patients and seeds {low:+.3f} to {high:+.3f}, "
            f"over the seeds alone {mean - half:+.3f} to {mean + half:+.3f}"
        )


def _drawn(films: Path, out: Path) -> Path:
    """A table of the films that are drawn."""
    with out.open("w", newline="") as text:
        table = csv.writer(text)
        table.writerow(["path", "label", "split", "patient"])
        for part, label, count in DRAWN:
            names = (path.name for path in (films / part / label).iterdir())
            for name in sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())[:count]:
                patient = PATIENT.search(name)
                assert patient is not None
                table.writerow([f"{part}/{label}/{name}", label, part, patient[0]])
    return out


def _judged(runs: Path, packed: Path, preset: str, seed: int) -> tuple[Any, float]:
    """The predictions of a preset's run on the test films, and how long its epochs took."""
    name = f"{preset}-{seed}"
    predictions = runs / name / "evaluation" / "test" / "predictions.parquet"
    if not predictions.exists():
        rayograph(
            "train", f"job/presets/{preset}.yaml", f"data.uri={packed}", f"run.storage={runs}",
            f"run.name={name}", f"train.seed={seed}",
        )  # fmt: skip
        rayograph("evaluate", runs / name)
    lines = (runs / name / "history.jsonl").read_text().splitlines()
    return pq.read_table(predictions), sum(json.loads(line)["seconds"] for line in lines)


def _columns(table: Any) -> tuple[Any, Any, Any]:
    """Patients, whether it is pneumonia (the second class), and its probability."""
    rows = table.sort_by("sample_id")
    names = ("patient_id", "labels", "logits")
    patients, truth, logits = (np.array(rows.column(name).to_pylist()) for name in names)
    return patients, truth[:, 1] == 1, expit(logits[:, 1] - logits[:, 0])


def _scores(table: Any) -> tuple[float, float]:
    _, ill, p = _columns(table)
    return float(np.mean((p > 0.5) == ill)), float(roc_auc_score(ill, p))


def _difference(predictions: list[list[tuple[Any, Any, Any]]], metric: int) -> tuple[float, ...]:
    """The second preset less the first: mean, and the 95 % interval over patients and seeds."""
    patients, ill, _ = predictions[0][0]
    own = [np.flatnonzero(patients == each) for each in np.unique(patients)]

    def value(films: Any, seeds: Any) -> float:
        said = [[preset[seed][2][films] for seed in seeds] for preset in predictions]
        if metric == 0:
            scores = [[np.mean((p > 0.5) == ill[films]) for p in each] for each in said]
        else:
            scores = [[roc_auc_score(ill[films], p) for p in each] for each in said]
        return float(np.mean(scores[1]) - np.mean(scores[0]))

    rng, count = np.random.default_rng(0), len(predictions[0])
    found = []
    for _ in range(RESAMPLES):
        films = np.concatenate([own[i] for i in rng.integers(0, len(own), len(own))])
        if 0 < ill[films].sum() < len(films):
            found.append(value(films, rng.integers(0, count, count)))
    return (value(np.arange(len(ill)), range(count)), *np.percentile(found, [2.5, 97.5]))


if __name__ == "__main__":
    main()
