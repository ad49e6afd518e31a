"""Run by test_whole.py in a process of its own: runs that are killed at random moments.

The parent imports everything and then only forks: no library has threads yet that a child could miss.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import narwhals.stable.v2  # noqa: F401

import gpusmote.files.engine  # noqa: F401
from gpusmote import SMOTE
from gpusmote.files import resample_file


def start(source: Path, out: Path, origins: Path, state: int) -> int:
    """A child that replaces both files by those of this random_state."""
    child = os.fork()
    if child:
        return child
    try:
        resample_file(source, out, target="class", sampler=SMOTE(random_state=state), origins=origins, force=True)
    except BaseException:
        os._exit(1)
    os._exit(0)


def main(folder: str, kills: int) -> None:
    source, out, origins = (Path(folder, name) for name in ("in.parquet", "out.parquet", "origins.csv"))
    whole = {}
    for state in (0, 1):
        began = time.monotonic()
        assert os.waitpid(start(source, out, origins, state), 0)[1] == 0
        lasted = time.monotonic() - began
        whole[state] = (origins.read_bytes(), out.read_bytes())
    assert whole[0][0] != whole[1][0]
    assert whole[0][1] != whole[1][1]
    rng = random.Random(0)
    now = (1, 1)  # whose origins and whose table are there
    killed = litter = 0
    for i in range(kills):
        state = i % 2
        child = start(source, out, origins, state)
        time.sleep(rng.uniform(0, 1.1 * lasted))
        os.kill(child, signal.SIGTERM if i % 5 == 0 else signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        killed += status != 0
        found = origins.read_bytes(), out.read_bytes()
        # As they were, or whole and new; the table takes its name last.
        allowed = [now, (state, now[1]), (state, state)]
        now = next(pair for pair in reversed(allowed) if found == (whole[pair[0]][0], whole[pair[1]][1]))
        assert status or now == (state, state)
        left = [name for name in os.listdir(folder) if name.endswith(".part")]
        assert len(left) <= 2, left  # the litter of this run only: that of the one before was cleared away
        litter += bool(left)
    assert os.waitpid(start(source, out, origins, 0), 0)[1] == 0
    print(sorted(os.listdir(folder)), killed, litter)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
