"""Workers that keep what they have loaded: lost ones are replaced, errors are theirs."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from rayograph.cluster import session
from rayograph.cluster.pool import IN_HAND, WINDOW, Pool, pooled
from rayograph.errors import UserError


def test_a_lost_worker_s_items_go_to_others_and_results_keep_their_order(tmp_path: Path) -> None:
    def work(folder: Path, item: int) -> tuple[int, int]:
        if item == 7:
            raise UserError("seven")
        first = not (folder / str(item)).exists()
        (folder / str(item)).touch()
        if item == 3 and first:
            os.kill(os.getpid(), signal.SIGKILL)
        return item, os.getpid()

    with session.connected(2):
        found = list(pooled("trying", partial(work, tmp_path), [0, 1, 2, 3, 4, 5, 6, *[8] * 20]))
        assert [item for item, _ in found] == [0, 1, 2, 3, 4, 5, 6, *[8] * 20]
        with pytest.raises(UserError, match="seven"):
            list(pooled("trying", partial(work, tmp_path), [7]))

        ahead = tmp_path / "ahead"
        ahead.mkdir()
        pool = Pool[int, tuple[int, int]]("trying", partial(work, ahead))
        slow = pool.map(range(100, 200))
        assert next(slow)[0] == 100
        time.sleep(2)
        begun = len(list(ahead.iterdir()))
        assert begun <= 2 * IN_HAND * WINDOW + 1, "no more is begun than may wait"
        assert [item for item, _ in slow] == [*range(101, 200)]
        assert len(pool.used) == max(2, os.cpu_count() or 1)
