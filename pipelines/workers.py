"""Shards on several devices: a process for each device, which keeps its models loaded.

With one device everything stays in this process. Which device scores a shard does not matter:
its batches are a function of its rows.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from queue import Queue

from siftline.pipelines import progress
from siftline.pipelines.errors import ModelError
from siftline.pipelines.job import Job
from siftline.pipelines.scoring import Cost, Work
from siftline.pipelines.stage import score_shard


class Workers:
    """The devices of a run. Shards may be scored from several threads."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = devices
        self._free: Queue[tuple[str, ProcessPoolExecutor]] = Queue()
        self._processes: list[ProcessPoolExecutor] = []
        if len(devices) > 1:
            # A forked process could not use CUDA.
            start = multiprocessing.get_context("spawn")
            for device in devices:
                process = ProcessPoolExecutor(1, mp_context=start)
                self._processes.append(process)
                self._free.put((device, process))

    def score(self, job: Job, work: Work) -> Cost:
        """Score a shard on a device that is free, waiting until one is.

        Raises:
            ModelError: The model cannot be loaded or run; nothing is stored.
        """
        if not self._processes:
            return score_shard(job, work)
        device, process = self._free.get()
        try:
            cost = process.submit(score_shard, _on(job, device), work).result()
        except BrokenProcessPool as error:
            raise ModelError(
                f"The process of device '{device}' ended by itself; expected it to score shard "
                f"{work.shard}. It may have run out of memory: lower --batch-tokens."
            ) from error
        finally:
            self._free.put((device, process))
        progress.advance(cost.rows, cost.usage.tokens)
        return cost

    def score_all(self, job: Job, work: Sequence[Work]) -> Iterator[Cost]:
        """Score shards, as many at once as there are devices."""
        if not self._processes:
            yield from map(partial(score_shard, job), work)
            return
        with ThreadPoolExecutor(len(self._devices)) as threads:
            yield from threads.map(partial(self.score, job), work)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.shutdown(cancel_futures=True)


def _on(job: Job, device: str) -> Job:
    return job.model_copy(update={"runtime": job.runtime.on(device)})


@contextmanager
def workers(devices: Sequence[str]) -> Iterator[Workers]:
    """Provide workers for the time of a run."""
    found = Workers(devices)
    try:
        yield found
    finally:
        found.close()
