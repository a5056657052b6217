"""The preset `records` on scikit-learn's breast-cancer table, over seeds.

`python -m benchmarks.records` prints the test accuracy of each seed, its interval, and the mean;
`python -m benchmarks.records train.epochs=30` with other options.
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from rayograph.config import PackOptions, RunConfig
from rayograph.evaluate import evaluation
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source
from rayograph.train import local
from rayograph.train.stops import deaf

SEEDS = 5
TESTED = 0.2  # of the records, stratified


def write(place: Path, seed: int) -> None:
    """The table, with a column that says which records are held out."""
    found = load_breast_cancer()
    rows = range(len(found.target))
    _, test = train_test_split(rows, test_size=TESTED, random_state=seed, stratify=found.target)
    held_out = set(test)
    with place.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*found.feature_names, "split", "diagnosis"])
        for i, (values, target) in enumerate(zip(found.data, found.target, strict=True)):
            part = "test" if i in held_out else "train"
            table.writerow([*values, part, ("malignant", "benign")[target]])


def main() -> None:
    """Train and judge each seed."""
    accuracies = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            table, dataset = Path(folder, "t.csv"), f"{folder}/packed"
            write(table, seed)
            options = PackOptions(inputs="table", negative="benign", val_fraction=0.1, seed=seed)
            pack(open_source(str(table), options), dataset, one_by_one)
            words = [f"data.uri={dataset}", f"run.storage={folder}/runs", f"train.seed={seed}"]
            config = RunConfig.load("records", [*words, *sys.argv[1:]])
            run = local.run(config, lambda _row: None, deaf)
            found = evaluation.evaluate(run.best_model, None, "test").metrics["accuracy"]
        accuracies.append(found.value or 0.0)
        print(f"seed {seed}: accuracy {found.value:.4f} ({found.low:.3f} to {found.high:.3f})")
    print(f"mean {np.mean(accuracies):.4f}")


if __name__ == "__main__":
    main()
