"""A split judged by all workers of a cluster: each a share of its record batches."""

from collections.abc import Callable

from torch import nn

from rayograph.cluster.pool import Pool, room
from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Logits, Share

GATHER_S = 60.0  # shares are equal: to begin without the last worker gains nothing


def logits(
    say: Callable[[str], object],
    network: nn.Module,
    dataset: Dataset,
    split: str,
    transform: Transform,
    outputs: int,
) -> Logits:
    """The logits of a split by as many workers as there is room for and it has record batches.

    Record batches are what is computed together, so that not a bit depends on how many workers
    there are. Says how many there were.
    """
    world = min(room().workers, len(dataset.split(split).batch_rows))
    share = Share(network.cpu(), dataset.uri, dataset.fold, split, transform, outputs, world)
    pool = Pool[int, Logits]("judging", share, in_hand=1, gather_s=GATHER_S)
    found = inference.total(pool.map(range(world)))
    nodes = list(pool.used.values())
    say(f"judged by {_count(len(nodes), 'worker')} on {_count(len(set(nodes)), 'machine')}")
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
