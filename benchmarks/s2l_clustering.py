"""S2L's clustering beside faiss and scikit-learn, on skewed trajectories: time, inertia, memory.

    pip install faiss-cpu==1.15.1
    python benchmarks/s2l_clustering.py --out benchmarks/results/s2l_clustering.json

Every measurement is a process of its own, since a process does not give its memory back, and the
methods take turns, so that all see the same noise of the machine. Ratios are to faiss on all
points; where faiss is not installed, they are to MiniBatchKMeans, and `reference` says so.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ingest import processor
from sklearn.cluster import MiniBatchKMeans

from siftline.contracts.corpus import Corpus
from siftline.selectors.s2l import S2L
from siftline.selectors.trajectories.kmeans import kmeans

CHECKPOINTS = 12
KINDS = 300  # of trajectories in the data, their shares falling as 1 / rank^1.2
CLUSTERS = 100
ITERATIONS = 20
RESTARTS = 3
WARM_UP = 5000
BLOCK = 1_000_000
MISSING = "faiss is not installed, so its figures are left out; `pip install faiss-cpu==1.15.1`.\n"

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Found = tuple[Floats, Ints]  # [clusters, dimensions] centroids, [rows] labels


def trajectories(rows: int) -> Floats:
    """Return random walks around a few kinds, of unequal number and spread."""
    random = np.random.default_rng(0)
    kinds = 0.3 * random.normal(size=(KINDS, CHECKPOINTS)).cumsum(axis=1)
    share = 1 / np.arange(1, KINDS + 1) ** 1.2
    points = np.empty((rows, CHECKPOINTS), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        block = points[start : start + BLOCK]
        spread = 0.25 * random.gamma(1, 1, size=(len(block), 1))
        kind = random.choice(KINDS, len(block), p=share / share.sum())
        block[:] = kinds[kind] + spread * random.normal(size=block.shape)
    return points


def siftline(points: Floats, seed: int) -> Found:
    """Cluster as S2L does."""
    found = kmeans(points, CLUSTERS, seed, ITERATIONS, RESTARTS)
    return found.centroids, found.labels.astype(np.int64)


def faiss_all(points: Floats, seed: int) -> Found:
    """Cluster with faiss, trained on all points."""
    return _faiss(points, seed, max_points_per_centroid=10**9)


def faiss_sample(points: Floats, seed: int) -> Found:
    """Cluster with faiss, trained on its own sample of 256 points per cluster."""
    return _faiss(points, seed)


def _faiss(points: Floats, seed: int, **options: int) -> Found:
    library: Any = importlib.import_module("faiss")
    model = library.Kmeans(
        points.shape[1], CLUSTERS, niter=ITERATIONS, nredo=1, seed=seed + 1, **options
    )
    model.train(points)
    return model.centroids, model.index.search(points, 1)[1][:, 0]


def minibatch(points: Floats, seed: int) -> Found:
    """Cluster with scikit-learn; its default batch of 1,024 ends at a higher inertia."""
    model = MiniBatchKMeans(
        CLUSTERS, init="k-means++", n_init=1, batch_size=4096, random_state=seed
    ).fit(points)
    return model.cluster_centers_, model.labels_


def corpus_of(points: Floats) -> Corpus:
    """Return a corpus with these trajectories, for the whole selection."""
    rows = len(points)
    ids = pc.cast(pa.array(np.arange(rows)), pa.string())
    names = {name: ids for name in ("id", "content_hash", "prompt_id")}
    source = pa.repeat(pa.scalar("made"), rows)
    losses = pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), CHECKPOINTS)
    trajectory = {
        "status": pa.repeat(pa.scalar("ok"), rows),
        "losses": losses,
        "response_tokens": pa.repeat(pa.scalar(100), rows),
    }
    lengths = pa.table({"response_chars": pa.repeat(pa.scalar(400), rows)})
    tables = {"trajectory": pa.table(trajectory), "statistics": lengths}
    return Corpus(rows=pa.table({**names, "source": source}), shards=(), tables=tables)


def selection(corpus: Corpus, seed: int) -> None:
    """Select 30 %: units, clusters, quotas and verdicts."""
    method = S2L(trajectories="made", budget="30%", clusters=CLUSTERS, seed=seed)
    decided = method.decide(corpus.with_scores("s2l", method.derive(corpus)["s2l"]))
    assert sum(decided["keep"].to_pylist()) == len(corpus) * 3 // 10


METHODS: dict[str, Callable[[Floats, int], Found]] = {
    "siftline": siftline,
    "faiss_all": faiss_all,
    "faiss_sample": faiss_sample,
    "minibatch": minibatch,
}


def inertia_of(points: Floats, found: Found) -> float:
    """Return the sum of squared distances, in float64, the same way for every method."""
    centroids, labels = found
    total = 0.0
    for start in range(0, len(points), BLOCK):
        block = slice(start, start + BLOCK)
        difference = points[block] - centroids[labels[block]]
        total += float(np.square(difference, dtype=np.float64).sum())
    return total


def memory(field: str) -> int:
    """Return bytes of this process: `VmRSS` now, `VmHWM` at the peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))


def timed(work: Callable[[], Any], matrix: int) -> tuple[Any, dict[str, float]]:
    """Run once; return the result, seconds, and the growth of memory over the matrix's size."""
    before = memory("VmRSS")
    started, used = time.perf_counter(), time.process_time()
    found = work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    growth = (memory("VmHWM") - before) / matrix
    return found, {"seconds": seconds, "cpu_seconds": cpu, "memory_over_matrix": growth}


def measure_here(name: str, path: Path, seed: int) -> dict[str, float]:
    """Measure one method in this process."""
    points: Floats = np.load(path)
    if name == "selection":
        selection(corpus_of(points[:WARM_UP]), seed)
        corpus = corpus_of(points)
        return timed(lambda: selection(corpus, seed), points.nbytes)[1]
    METHODS[name](points[:WARM_UP], seed)
    found, figures = timed(lambda: METHODS[name](points, seed), points.nbytes)
    return {**figures, "inertia": inertia_of(points, found)}


def measure(name: str, path: Path, seed: int) -> dict[str, float]:
    """Measure one method in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, str(path), str(seed)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=-1).stdout)
    return found


def compare(rows: int, rounds: int, methods: list[str], reference: str) -> dict[str, Any]:
    """Return the medians of every method at one size, and their ratios; one whole selection."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.npy"
        np.save(path, trajectories(rows))
        for seed in range(rounds):
            for name in methods:
                figures[name].append(measure(name, path, seed))
        figures["selection"] = [measure("selection", path, 0)]
    result: dict[str, Any] = {
        name: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for name, found in figures.items()
    }
    for found in result.values():
        for key in ("seconds", "cpu_seconds", "inertia"):
            if key in found:
                found[f"{key}_to_reference"] = found[key] / result[reference][key]
    peers = [result[name]["inertia"] for name in methods if name != "siftline"]
    result["siftline"]["inertia_to_best_peer"] = result["siftline"]["inertia"] / min(peers)
    return {
        name: {key: float(f"{value:.4g}") for key, value in found.items()}
        for name, found in result.items()
    }


def table(rows: int, found: dict[str, dict[str, float]], reference: str) -> str:
    """Write the figures of one size."""
    lines = [
        f"{rows:,} trajectories; ratios to {reference}",
        "method         seconds   ratio   CPU ratio   inertia ratio   memory over the matrix",
    ]
    for name, each in found.items():
        inertia = each.get("inertia_to_reference")
        lines.append(
            f"{name:13} {each['seconds']:8.2f} {each['seconds_to_reference']:7.2f} "
            f"{each['cpu_seconds_to_reference']:11.2f} "
            f"{'-' if inertia is None else f'{inertia:.4f}':>15} {each['memory_over_matrix']:12.2f}"
        )
    return "\n".join(lines) + "\n"


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--rounds", type=int, nargs="+", default=[5, 5, 2], help="of each size")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=3, metavar=("METHOD", "FILE", "SEED"), help="just this")
    options = parser.parse_args()
    if len(options.sizes) != len(options.rounds):
        parser.error(f"got {len(options.rounds)} numbers of rounds; expected one for each size.")
    return options


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    if options.measure:
        name, path, seed = options.measure
        sys.stdout.write(json.dumps(measure_here(name, Path(path), int(seed))))
        return
    has_faiss = importlib.util.find_spec("faiss") is not None
    if not has_faiss:
        sys.stderr.write(MISSING)
    methods = [name for name in METHODS if has_faiss or not name.startswith("faiss")]
    reference = "faiss_all" if has_faiss else "minibatch"
    load = [os.getloadavg()[0]]
    sizes = {}
    for rows, rounds in zip(options.sizes, options.rounds, strict=True):
        found = compare(rows, rounds, methods, reference)
        sizes[str(rows)] = {"rounds": rounds, **found}
        load.append(os.getloadavg()[0])
        sys.stdout.write(table(rows, found, reference))
    libraries = ["numpy", "scikit-learn", *(["faiss-cpu"] if has_faiss else [])]
    result = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": processor(),
        "versions": {name: importlib.metadata.version(name) for name in libraries},
        "load_average": [round(each, 1) for each in load],
        "clusters": CLUSTERS,
        "checkpoints": CHECKPOINTS,
        "reference": reference,
        "sizes": sizes,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
