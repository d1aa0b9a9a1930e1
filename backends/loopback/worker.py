"""The queue of a device of the loopback service: one job at a time, in the order of acceptance."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import numpy as np

from bondwise.backends.loopback.device import Device
from bondwise.backends.loopback.store import Job, Store, now

_FAILED = 1000  # reason code of a program that raised an error


class Worker:
    """A thread that runs the jobs of a device.

    Args:
        device: The device.
        store: Where jobs come from and results go.
        delay: Seconds that each job waits, at least.
        seed: Random seed; each job has one of its own, by its number.
    """

    def __init__(self, device: Device, store: Store, delay: float, seed: int) -> None:
        self._device, self._store, self._delay, self._seed = device, store, delay, seed
        self._held = self._stopping = False
        self._thread = threading.Thread(target=self._work, name=f"loopback-{device.name}", daemon=True)

    def start(self) -> None:
        """Begin to run jobs."""
        self._thread.start()

    def stop(self) -> None:
        """End after the job that is running."""
        self._set(stopping=True)
        self._thread.join()

    def hold(self) -> None:
        """Begin no other job."""
        self._set(held=True)

    def release(self) -> None:
        """Begin jobs again."""
        self._set(held=False)

    def _set(self, *, held: bool | None = None, stopping: bool | None = None) -> None:
        with self._store.changed:
            self._held = self._held if held is None else held
            self._stopping = self._stopping if stopping is None else stopping
            self._store.changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._run(job)

    def _next(self) -> Job | None:
        """Wait for the next job, which is then marked as running; None if the worker is to stop."""
        with self._store.changed:
            while not self._stopping:
                queue = [] if self._held else self._store.queue(self._device.name)
                wait = None
                if queue:
                    age = datetime.now(UTC) - datetime.fromisoformat(queue[0].created)
                    wait = self._delay - age.total_seconds()
                    if wait <= 0:
                        calibration = self._store.calibration(self._device.name)
                        return self._store.update(
                            queue[0], status="Running", running=now(), calibration=calibration
                        )
                self._store.changed.wait(wait)
        return None

    def _run(self, job: Job) -> None:
        if job.fate:
            self._end(job, status=job.fate)
            return
        seed = int(np.random.default_rng([self._seed, job.number]).integers(2**30))
        try:
            params = self._store.params(job)
            text, seconds = self._device.run(job.program, params, job.calibration, seed)
        except Exception as error:  # whatever a program does, its job fails and the queue goes on
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            self._end(job, status="Failed", reason=reason, reason_code=_FAILED)
            return
        self._store.write_result(job, text)
        self._end(job, status="Completed", quantum_seconds=seconds)

    def _end(self, job: Job, **changes: object) -> None:
        with self._store.changed:
            kept = self._store.jobs.get(job.id)
            if kept is not None and kept.status == "Running":  # neither canceled nor deleted meanwhile
                self._store.update(job, finished=now(), **changes)
