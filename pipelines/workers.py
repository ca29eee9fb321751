"""Shards on several devices: a process for each device, which keeps its models loaded.

With one device everything stays in this process, in two threads where a scorer measures columns.
Which device or thread scores a shard does not matter: its batches are a function of its rows.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from queue import Queue

from siftline.contracts import progress
from siftline.contracts.corpus import read_examples, shard_name
from siftline.contracts.errors import ModelError
from siftline.contracts.interrupts import end_at_interrupt, without_interrupts
from siftline.contracts.method import roles_of
from siftline.contracts.model_spec import ModelSpec
from siftline.models.remote.desk import Desk, ask_desk
from siftline.models.remote.serving import (
    end_early,
    end_served,
    served_for_the_time,
    shared_spec,
)
from siftline.pipelines.job import Job
from siftline.pipelines.scores.work import Cost, Work, score_work

_THREADS = 2  # more wait for the part that is Python's


class Workers:
    """The devices of a run. Shards may be scored from several threads.

    Attributes:
        store: The scores of this process.
        at_once: How many shards can be scored at the same time.
    """

    def __init__(self, job: Job) -> None:
        self._here = _Shards(job)
        self.store = self._here.store
        self._job = job
        devices = job.runtime.devices
        self.at_once = len(devices)
        self._desk: Desk | None = None
        self._free: Queue[tuple[str, ProcessPoolExecutor]] = Queue()
        self._processes: list[ProcessPoolExecutor] = []
        if len(devices) > 1:
            resource_tracker.ensure_running()  # to start it lets Ctrl-C through again
            self._desk = Desk()
            # A forked process could not use CUDA.
            start = multiprocessing.get_context("spawn")
            for device in devices:
                told = (job, device, self._desk.address)
                process = ProcessPoolExecutor(
                    1, mp_context=start, initializer=_begin, initargs=told
                )
                self._processes.append(process)
                self._free.put((device, process))

    def score(self, work: Work) -> Cost:
        """Score a shard on a device that is free, waiting until one is.

        Raises:
            ModelError: The model cannot be loaded or run; nothing is stored.
        """
        if not self._processes:
            return self._here.score(work)
        device, process = self._free.get()
        try:
            with without_interrupts():  # the first work starts the process
                scored = process.submit(_score_elsewhere, work)
            cost = scored.result()
        except BrokenProcessPool as error:
            raise ModelError(
                f"The process of device '{device}' ended by itself; expected it to score shard "
                f"{work.shard}. It may have run out of memory: lower --batch-tokens."
            ) from error
        finally:
            self._free.put((device, process))
        for line in cost.told:
            progress.tell(line)
        progress.advance(cost.rows, cost.usage.tokens)
        return cost

    def score_all(self, work: Sequence[Work]) -> Iterator[Cost]:
        """Score shards, as many at once as there are devices, or threads for what is by column."""
        at_once = self.at_once
        if not self._processes and all(each.scorer.by_column for each in work):
            at_once = min(_THREADS, os.cpu_count() or 1)
        if at_once == 1 or len(work) < 2:
            yield from map(self.score, work)
            return
        with ThreadPoolExecutor(at_once) as threads:
            try:
                yield from threads.map(self.score, work)
            except BaseException:
                self.abort()  # the threads are waited for, and may wait for a server
                raise

    def begin_stage(self, number: int) -> None:
        """Make room for a stage: end the servers of models that it and what follows do not need.

        A stage that runs models of this machine and does not ask a server ends it too, though a
        later one asks it again, since both would want the memory of the GPU; it is started again
        then.
        """
        end_served(lambda spec: spec in _wanted(self._job, number))

    def abort(self) -> None:
        """End the servers, so that nothing waits for them any more, and start none."""
        end_early()

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.shutdown(cancel_futures=True)
        if self._desk is not None:
            self._desk.close()


def _wanted(job: Job, number: int) -> set[ModelSpec]:
    """Return the served models whose servers may live on when a stage begins, as they are shared.

    Args:
        job: The run.
        number: Of the stage.
    """
    models = job.runtime.models
    now, *later = (roles_of(stage) for stage in job.recipe.stages[number:])
    asked = {shared_spec(models[role]) for role in now if models[role].serve is not None}
    if any(not models[role].is_asked for role in now):
        return asked
    return asked | {
        shared_spec(models[role])
        for roles in later
        for role in roles
        if models[role].serve is not None
    }


class _Shards:
    """Scores shards in one process, stage after stage.

    Attributes:
        store: The scores, as this process has opened them.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.store = job.store()

    def score(self, work: Work) -> Cost:
        """Score what is missing in one shard."""
        revisions = self._job.revisions_before(work.stage)
        shard = self._job.examples_folder / shard_name(work.shard)
        return score_work(read_examples(shard, work.positions, revisions), work, self.store)


_elsewhere: _Shards | None = None  # in the process of a device


def _begin(job: Job, device: str, desk: str) -> None:
    """Open the run in the process of a device, which ends when the run does, however that ends."""
    global _elsewhere
    ask_desk(desk)
    end_at_interrupt()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _elsewhere = _Shards(job.model_copy(update={"runtime": job.runtime.on(device)}))


def _end_with_parent() -> None:
    """Wait for the end of the run's process, which may have been killed, and end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is left to be told, and the device's memory is wanted


def _score_elsewhere(work: Work) -> Cost:
    """Score a shard in the process of a device."""
    if _elsewhere is None:
        raise RuntimeError("the process of a device was asked before the run was opened in it")
    return _elsewhere.score(work)


@contextmanager
def workers(job: Job) -> Iterator[Workers]:
    """Provide workers, and servers of models, for the time of a run."""
    with served_for_the_time():
        crew = Workers(job)
        try:
            yield crew
        finally:
            crew.close()
