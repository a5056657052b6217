"""What each ingredient of the recipe for the paediatric films brings: a row each, over seeds.

    python -m benchmarks.ablation FILMS WORK [--seeds 21 22] [--rows NAME …]
        [--options KEY=VALUE …]

FILMS is the folder of the public paediatric films. The preset `pneumonia`, with these options, is
trained once for each row and seed, under torchrun, on the official training films less a tenth of
the patients. It is judged, always at the likelier class, on the 624 official test films
(exploratory: each row is a look at them), and on the films of that tenth as another device may have
made them: an S-shaped tone curve, blur, a black border, noise, 12 % wider. No row is trained on
such films. What is in WORK is not done again.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

PATIENT = r"pack.patient_pattern=(person\d+|(?:NORMAL2-)?IM-\d+)"
BORDER, WIDER, BLUR, STEEP, NOISE = 0.06, 1.12, 1.5, 6.0, 4.0  # of 224 pixels; of 255 levels
LIGHT = ("augment.level=light",)
ROWS: dict[str, tuple[str, ...]] = {  # against the recipe, which is the first
    "recipe": (),
    "without cropping anywhere, stretched": (
        *LIGHT, "augment.gamma=1.7", "augment.rotation=10",
        "augment.brightness=0", "augment.contrast=0",
    ),
    "without the tone curve": ("augment.gamma=1",),
    "without standardising each film": ("data.normalize=dataset",),
    "judged whole, not in five crops": ("evaluate.views=whole",),
    "light, none of these four": (
        *LIGHT, "data.normalize=dataset", "evaluate.views=whole",
        "augment.rotation=10", "augment.brightness=0.2", "augment.contrast=0.3",
    ),
    "without class weights": ("train.class_weights=none",),
    "best epoch by val_auroc, not the last": ("train.final=best",),
    "with label smoothing": ("train.label_smoothing=0.1",),
    "with flips": ("augment.flip=0.5",),
    "SGD": ("optim.name=sgd", "optim.lr=0.05", "optim.weight_decay=5e-4"),
}  # fmt: skip


def main() -> None:
    """Pack, train, judge; print a row as soon as its seeds are done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("films", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[21, 22])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--options", nargs="+", default=[], metavar="KEY=VALUE")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    packed, other = told.work / "packed", told.work / "other-device"
    if not packed.exists():
        words = ("pack.size=160", "pack.val=merge_and_cut", "pack.val_fraction=0.1", PATIENT)
        rayograph("pack", told.films, packed, *words)
    if not other.exists():
        changed = _changed(told.films, packed, told.work / "changed")
        again = ("pack.size=160", "pack.split=test", "pack.patient_column=patient")
        rayograph("pack", changed, other, *again)
    print("| | test accuracy | AUROC | sensitivity | specificity "
          "| other device: accuracy | AUROC | s |\n" + "| --- " * 8 + "|")  # fmt: skip
    for row in told.rows:
        name = "".join(c if c.isalnum() else "-" for c in row)
        runs = [_trained(told, packed, f"{name}-{seed}", row, seed) for seed in told.seeds]
        values = [(*_judged(run), *_judged(run, other)[:2], seconds) for run, seconds in runs]
        print(f"| {row} | " + " | ".join(map(spread, zip(*values, strict=True))) + " |", flush=True)


def spread(values: tuple[float, ...]) -> str:
    """Mean and standard deviation."""
    digits = 0 if values[0] > 1 else 3
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _trained(
    told: argparse.Namespace, packed: Path, name: str, row: str, seed: int
) -> tuple[Path, float]:
    """The run of a row and seed, and how long its epochs took together."""
    run = told.work / "runs" / name
    if not (run / "done").exists():
        _run(
            "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "job/train.py",
            "pneumonia", f"data.uri={packed}", f"run.name={name}", f"run.storage={run.parent}",
            f"train.seed={seed}", *told.options, *ROWS[row],
        )  # fmt: skip
        (run / "done").touch()
    lines = (run / "history.jsonl").read_text().splitlines()
    return run, sum(json.loads(line)["seconds"] for line in lines)


def _judged(run: Path, data: Path | None = None) -> tuple[float, float, float, float]:
    """Accuracy, AUROC, sensitivity, specificity, all but AUROC at the likelier class."""
    kept = run / f"judged-{data.name if data else 'test'}.json"
    if not kept.exists():
        found = rayograph("evaluate", run, "--json", *(() if data is None else ("--data", data)))
        kept.write_text(found)
    found = json.loads(kept.read_text())["metrics"]
    names = ("accuracy", "auroc", "sensitivity", "specificity")
    one, two, three, four = (float(found[name]["value"]) for name in names)
    return one, two, three, four


def _changed(films: Path, packed: Path, out: Path) -> Path:
    """A table of the validation films as of another device, which lie beside it."""
    index = pq.read_table(packed / "index.parquet").to_pylist()
    own = [row for row in index if row["part"] == "val"]
    out.mkdir(exist_ok=True)
    with (out / "films.csv").open("w", newline="") as text:
        table = csv.writer(text)
        table.writerow(["path", "label", "patient"])
        for row in own:
            name = row["sample_id"].replace("/", "_").replace(".jpeg", ".png")
            with Image.open(films / row["sample_id"]) as film:
                _as_of_another_device(film.convert("L")).save(out / name)
            table.writerow([name, row["label"], row["patient_id"]])
    return out / "films.csv"


def _as_of_another_device(film: Image.Image) -> Image.Image:
    """Blurred, wider, in another tone, with a border and noise; the same whenever it is made."""
    side = film.width
    film = film.filter(ImageFilter.GaussianBlur(BLUR))
    inner = round(side * (1 - 2 * BORDER))
    wide = film.resize((round(inner * WIDER), inner), Image.Resampling.LANCZOS)
    left = (wide.width - inner) // 2
    gray = np.asarray(wide.crop((left, 0, left + inner, inner)), np.float64) / 255
    ends = 1 / (1 + np.exp(np.array([STEEP, -STEEP]) / 2))
    gray = (1 / (1 + np.exp(-STEEP * (gray - 0.5))) - ends[0]) / (ends[1] - ends[0])
    found = np.zeros((side, side))
    start = (side - inner) // 2
    found[start : start + inner, start : start + inner] = gray * 255
    found += np.random.default_rng(0).normal(0, NOISE, found.shape)
    return Image.fromarray(found.round().clip(0, 255).astype(np.uint8))


def rayograph(command: str, *words: Any) -> str:
    """What the command printed."""
    return _run("rayograph", command, *words)


def _run(module: str, *words: Any) -> str:
    """What the module printed; how long it took goes to standard error."""
    began = time.monotonic()
    told = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(told, stdout=subprocess.PIPE, text=True, check=True)
    print(f"{time.monotonic() - began:.0f} s: {' '.join(told[3:])}", file=sys.stderr, flush=True)
    return done.stdout


if __name__ == "__main__":
    main()
