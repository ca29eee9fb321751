"""Shards on several devices: a process for each device, which keeps its models loaded.

With one device everything stays in this process. Which device scores a shard does not matter:
its batches are a function of its rows.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from queue import Queue

from siftline.contracts import progress
from siftline.contracts.corpus import read_examples, shard_name
from siftline.contracts.errors import ModelError
from siftline.pipelines.job import Job
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import Cost, Work, score_work


class Workers:
    """The devices of a run. Shards may be scored from several threads.

    Attributes:
        store: The scores of this process.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.store = job.store()
        self._devices = devices = job.runtime.devices
        self._free: Queue[tuple[str, ProcessPoolExecutor]] = Queue()
        self._processes: list[ProcessPoolExecutor] = []
        if len(devices) > 1:
            # A forked process could not use CUDA.
            start = multiprocessing.get_context("spawn")
            for device in devices:
                process = ProcessPoolExecutor(1, mp_context=start)
                self._processes.append(process)
                self._free.put((device, process))

    def score(self, work: Work) -> Cost:
        """Score a shard on a device that is free, waiting until one is.

        Raises:
            ModelError: The model cannot be loaded or run; nothing is stored.
        """
        if not self._processes:
            return _score_shard(self._job, work, self.store)
        device, process = self._free.get()
        try:
            cost = process.submit(_score_elsewhere, self._job, device, work).result()
        except BrokenProcessPool as error:
            raise ModelError(
                f"The process of device '{device}' ended by itself; expected it to score shard "
                f"{work.shard}. It may have run out of memory: lower --batch-tokens."
            ) from error
        finally:
            self._free.put((device, process))
        progress.advance(cost.rows, cost.usage.tokens)
        return cost

    def score_all(self, work: Sequence[Work]) -> Iterator[Cost]:
        """Score shards, as many at once as there are devices."""
        if not self._processes:
            yield from map(self.score, work)
            return
        with ThreadPoolExecutor(len(self._devices)) as threads:
            yield from threads.map(self.score, work)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.shutdown(cancel_futures=True)


def _score_shard(job: Job, work: Work, store: ScoreStore) -> Cost:
    """Score what is missing in one shard."""
    shard = job.examples_folder / shard_name(work.shard)
    rows = read_examples(shard, work.positions, job.revisions_before(work.stage))
    return score_work(rows, work, store)


def _score_elsewhere(job: Job, device: str, work: Work) -> Cost:
    """Score a shard in the process of a device."""
    there = job.model_copy(update={"runtime": job.runtime.on(device)})
    return _score_shard(there, work, there.store())


@contextmanager
def workers(job: Job) -> Iterator[Workers]:
    """Provide workers for the time of a run."""
    crew = Workers(job)
    try:
        yield crew
    finally:
        crew.close()
