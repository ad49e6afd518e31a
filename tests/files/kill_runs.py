"""Run by test_atomic_write.py in a process of its own: runs that are killed at random moments.

A moment is a random number of steps that the run has told of, and then a random part of the time that the next step
takes a run that is not killed. So the moments are spread over the whole run however slow the machine is; a run that
ends before its kill arrives does not count as killed, and another one is started.

The parent imports everything and then only forks: no library has threads yet that a child could miss.
"""

from __future__ import annotations

import dataclasses
import itertools
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


@dataclasses.dataclass
class Run:
    """A child that replaces table and origins by those of its random_state, and tells of each step by a byte."""

    source: Path
    out: Path
    origins: Path
    state: int

    def start(self) -> None:
        self._steps, writing = os.pipe()
        self.child = os.fork()
        if self.child:
            os.close(writing)
            return
        try:
            resample_file(
                self.source, self.out, target="class", sampler=SMOTE(random_state=self.state), origins=self.origins,
                force=True, progress=lambda *_: os.write(writing, b"."),
            )  # fmt: skip
        except BaseException:
            os._exit(1)
        os._exit(0)

    def wait_for(self, steps: int) -> list[float]:
        """When each of so many steps was told of, or fewer if the run ends before."""
        told = [time.monotonic()]
        while len(told) <= steps and os.read(self._steps, 1):
            told.append(time.monotonic())
        return told

    def kill(self, number: int) -> int:
        """The exit status: 0 if the run was over before."""
        os.kill(self.child, number)
        return self.end()

    def end(self) -> int:
        status = os.waitpid(self.child, 0)[1]
        os.close(self._steps)
        return status


def whole(run: Run) -> list[float]:
    """How long each step takes a run that nobody kills, and how long the rest after the last."""
    run.start()
    told = run.wait_for(1 << 30)
    assert run.end() == 0
    told.append(time.monotonic())
    return [later - earlier for earlier, later in itertools.pairwise(told)]


def main(folder: str, kills: int) -> None:
    source, out, origins = (Path(folder, name) for name in ("in.parquet", "out.parquet", "origins.csv"))
    results = {}
    for state in (0, 1):
        lasted = whole(Run(source, out, origins, state))
        results[state] = (origins.read_bytes(), out.read_bytes())
    assert results[0][0] != results[1][0]
    assert results[0][1] != results[1][1]
    rng = random.Random(0)
    now = (1, 1)  # whose origins and whose table are there
    started = killed = litter = 0
    while killed < kills and started < 20 * kills:
        run = Run(source, out, origins, started % 2)
        steps = rng.randrange(len(lasted))
        run.start()
        run.wait_for(steps)
        time.sleep(rng.random() * lasted[steps])
        status = run.kill(signal.SIGTERM if started % 5 == 0 else signal.SIGKILL)
        started += 1
        killed += status != 0
        found = origins.read_bytes(), out.read_bytes()
        # As they were, or whole and new; the table takes its name last.
        allowed = [now, (run.state, now[1]), (run.state, run.state)]
        now = next(pair for pair in reversed(allowed) if found == (results[pair[0]][0], results[pair[1]][1]))
        assert status or now == (run.state, run.state)
        left = [name for name in os.listdir(folder) if name.endswith(".part")]
        assert len(left) <= 2, left  # the litter of this run only: that of the one before was cleared away
        litter += bool(left)
    whole(Run(source, out, origins, 0))
    print(sorted(os.listdir(folder)), killed, litter)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
