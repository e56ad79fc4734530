"""Tasks done side by side in several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from isofield.datasets.carrier import Carrier, one_thread, swept
from isofield.datasets.task import Outcome, Recipe, Task


def outcomes(tasks: Sequence[Task], recipe: Recipe, workers: int) -> Iterator[Outcome]:
    """The outcome of each task, as they come. workers : processes; 1 is this one.

    Every process computes with one thread, so that the results are those of any other
    number of them, bit by bit. A process that ends in the middle of a task fails that
    task, and another takes its place.

    Raises `RuntimeError` where processes end before their first task.
    """
    if min(workers, len(tasks)) <= 1:
        carrier = Carrier(recipe)
        with one_thread():
            yield from map(carrier, tasks)
        return
    waiting = deque(tasks)
    pool = [_Worker(recipe) for _ in range(min(workers, len(tasks)))]
    try:
        while pool:
            ready = wait([worker.connection for worker in pool])
            for worker in [w for w in pool if w.connection in ready]:
                if (outcome := worker.heard()) is not None:
                    yield outcome
                if not worker.alive:
                    pool.remove(worker)
                    worker.end()
                    if len(waiting) > len(pool):
                        pool.append(_Worker(recipe))
                elif waiting:
                    worker.give(waiting.popleft())
                else:
                    pool.remove(worker)
                    worker.end()
    finally:
        for worker in pool:
            worker.end(now=True)


class _Worker:
    """A process, and the task that it is at."""

    def __init__(self, recipe: Recipe) -> None:
        # spawned: a forked process would inherit the locks of torch's threads
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, recipe), daemon=True)
        self.process.start()
        other.close()
        self.task: Task | None = None
        self.began, self.alive = False, True

    def give(self, task: Task) -> None:
        """A task to do."""
        self.task = task
        with suppress(OSError):  # that it has ended is heard next
            self.connection.send(task)

    def heard(self) -> Outcome | None:
        """An outcome; None where the process says that it has begun."""
        try:
            outcome = self.connection.recv()
        except (EOFError, OSError):
            return self._ended()
        self.began, self.task = True, None
        return outcome

    def _ended(self) -> Outcome | None:
        self.alive = False
        self.process.join()
        code = self.process.exitcode
        if not self.began:
            raise RuntimeError(
                f"a worker ended as it began, with code {code}: call resample_dataset "
                'under `if __name__ == "__main__":` in a file, or with workers=1'
            )
        if self.task is None:
            return None
        swept(self.task.output)
        end = f"signal {-code}" if code is not None and code < 0 else f"code {code}"
        reason = f"{self.task.source}: its process ended with {end} (out of memory?)"
        return Outcome(self.task.source, self.task.output, error=reason)

    def end(self, now: bool = False) -> None:
        """No more tasks; the one that is under way is finished, or given up now."""
        self.connection.close()
        if now:
            self.process.terminate()
        self.process.join()
        if now and self.task is not None:
            swept(self.task.output)


def _serve(connection: Connection, recipe: Recipe) -> None:
    """What a process does: tasks, until there are no more."""
    # an interruption is for the process that began this one, which ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    carrier = Carrier(recipe)
    with one_thread():
        connection.send(None)
        while True:
            try:
                task = connection.recv()
            except EOFError:
                return
            connection.send(carrier(task))
