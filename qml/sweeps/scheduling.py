"""Points on an executor: failures are tried again, and a pool that breaks is replaced.

When a process of a pool dies, all points in the pool are lost, and nobody knows which of them was to blame.
Nothing is held against any of them: the first one that is unfinished goes into the next pool alone, then two
at a time, four, and so on. A point whose worker dies while it is alone has failed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from queue import SimpleQueue
from typing import Any, TypeAlias
from uuid import uuid4

from bondwise.qml.sweeps.points import Point
from bondwise.qml.sweeps.work import Outcome, attempt
from bondwise.runs import RunError, UsageError, kind_of, one_line

Workers: TypeAlias = Executor | Callable[[], Executor] | None

_DIED = "its worker died (killed, out of memory, or a script without `if __name__ == '__main__':`)"


def outcomes(
    fn: Callable[..., Any],
    points: Sequence[Point],
    executor: Workers,
    retries: int,
    watch: Callable[[Point], object],
) -> Generator[tuple[int, Outcome, int]]:
    """Call a function at all points.

    Args:
        fn: The function.
        points: Its keyword arguments.
        executor: As for `sweep`.
        retries: How many more times a point is tried that fails.
        watch: Called with the point that everything waits for: of those that have begun, the first.

    Yields:
        The index of a point, what became of it, and how many times it was tried; as points end.

    Raises:
        RunError: If an executor is broken that cannot be replaced.
    """
    pool, waiting = _Pool(executor), deque(range(len(points)))
    tries = [0] * len(points)
    flying: dict[Future[Outcome], int] = {}
    arrived: SimpleQueue[Future[Outcome]] = SimpleQueue()
    most = math.inf if executor is not None else 1
    limit, completed = most, False
    try:
        while waiting or flying:
            watch(points[next(iter(flying.values()), waiting[0] if waiting else 0)])
            while waiting and len(flying) < limit:
                future = pool.submit(attempt, fn, points[waiting[0]], uuid4().hex)
                if future is None:
                    break
                flying[future] = waiting.popleft()
                future.add_done_callback(arrived.put)
            if not flying:
                pool.replace()
                continue
            ended, alone = [arrived.get()], len(flying) == 1
            broken = isinstance(_error(ended[0]), BrokenExecutor)
            if broken:  # the others follow
                for _ in range(len(flying) - 1):
                    arrived.get()
                ended = list(flying)
            lost = []
            for future in ended:
                index, error = flying.pop(future), _error(future)
                if isinstance(error, BrokenExecutor) and not alone:
                    lost.append(index)
                    continue
                tries[index] += 1
                outcome = future.result() if error is None else Outcome(False, _reason(error))
                if outcome.done or outcome.hopeless or tries[index] > retries:
                    yield index, outcome, tries[index]
                elif alone and broken:
                    waiting.appendleft(index)
                else:
                    waiting.append(index)
                limit = min(2 * limit, most)
            if broken:
                waiting.extendleft(reversed(lost))
                limit = 1
                if waiting:
                    pool.replace()
        completed = True
    finally:
        pool.close(completed, flying)


class _Here(Executor):
    """Calls functions in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function now."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _Pool:
    """An executor, which is replaced when it breaks if a function makes it."""

    def __init__(self, given: Workers) -> None:
        self._make = given if not isinstance(given, Executor) else None
        self._executor = given if isinstance(given, Executor) else None
        if given is None:
            self._make, self._executor = None, _Here()
        elif self._make is not None and not callable(self._make):
            raise UsageError(
                f"executor is {kind_of(given)}; give an Executor of concurrent.futures, a function that "
                "makes one, or None for this process."
            )
        self._unused = 0  # executors in a row that have taken no point

    def submit(self, *call: Any) -> Future[Outcome] | None:
        """Start a call; None if the executor is broken."""
        if self._executor is None:
            self._executor = self._made()
        try:
            future = self._executor.submit(*call)
        except (BrokenExecutor, OSError):  # the latter while it breaks: its pipes are closed
            return None
        except RuntimeError as error:
            raise UsageError(
                f"the executor takes no points ({one_line(error)}); give one that is open."
            ) from error
        self._unused = 0
        return future

    def _made(self) -> Executor:
        made = None if self._make is None else self._make()
        if not isinstance(made, Executor):
            raise UsageError(
                f"the function given as executor returned {kind_of(made)}; return an Executor of "
                "concurrent.futures."
            )
        return made

    def replace(self) -> None:
        """Make a new executor in place of a broken one."""
        self._unused += 1
        if self._make is None or self._unused > 3:
            raise RunError(
                "the executor is broken, as one of its workers died; what was done is stored. Give a "
                "function that makes it, executor=lambda: ProcessPoolExecutor(...), and it is replaced."
            )
        self.close(True)

    def close(self, finished: bool, left: Iterable[Future[Outcome]] = ()) -> None:
        """Shut the executor down if it was made here, and cancel what is left in any."""
        if self._make is None:
            for future in left:
                future.cancel()
        elif self._executor is not None:
            executor, self._executor = self._executor, None
            try:
                executor.shutdown(wait=finished, cancel_futures=True)
            except TypeError:  # Dask's cancels anyway
                executor.shutdown(wait=finished)


def _error(future: Future[Any]) -> BaseException | None:
    if future.cancelled():
        return RunError("it was cancelled")
    error = future.exception()
    if error is not None and not isinstance(error, Exception):  # Ctrl-C reaches workers, too
        raise error
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, BrokenExecutor):
        return _DIED
    return f"{type(error).__name__}: {one_line(error)}"
