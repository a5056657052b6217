"""What bfloat16 gains on this CPU: a training step of each model in float32 and under autocast.

    python -m benchmarks.precision [--models NAME …] [--sizes PIXELS …] [--batch FILMS] [--steps N]

One thread. A step is forward, backward and AdamW on a random batch, channels_last as in training.
The two precisions take turns; a figure is the median step in milliseconds of CPU time, so that
others on the machine count little. The ratio is float32's over bfloat16's, above 1 where bfloat16
is the faster.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from rayograph.config import ModelOptions
from rayograph.models.build import build, family_of

MODELS = (
    "cnn", "resnet18", "resnet50", "densenet121", "efficientnet_b0", "convnext_tiny", "mlp",
)  # fmt: skip
FEATURES = 30  # of a record


def stepper(model: nn.Module, batch: torch.Tensor) -> Callable[[bool], None]:
    """A training step of the model; whether in bfloat16 is said at each."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    labels = torch.arange(len(batch)) % 2

    def step(bf16: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(batch).float()
        nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measured(step: Callable[[bool], None], steps: int) -> tuple[float, float]:
    """Median CPU seconds of a step in float32 and in bfloat16, after one of each to warm up."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for bf16 in (False, True) * (steps + 1):
        began = time.process_time()
        step(bf16)
        found[bf16].append(time.process_time() - began)
    return statistics.median(found[False][1:]), statistics.median(found[True][1:])


def main() -> None:
    """Print a row a model and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--norm", default="batch")
    parser.add_argument("--width", type=int, default=16)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.models:
        records = family_of(name).rank == 1
        for size in [FEATURES] if records else asked.sizes:
            torch.manual_seed(0)
            shape = (FEATURES,) if records else (1, size, size)
            options = ModelOptions(name=name, norm=asked.norm, width=asked.width)
            model = build(options, shape, 2).to(memory_format=torch.channels_last).train()
            a, b = measured(stepper(model, torch.randn(asked.batch, *shape)), asked.steps)
            print(f"{name:18} {size:4} {1e3 * a:9.1f} {1e3 * b:9.1f} {a / b:6.2f}", flush=True)


if __name__ == "__main__":
    main()
