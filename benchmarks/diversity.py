"""Seconds, memory and objectives of the selectors that work on vectors, beside their peers.

    python benchmarks/diversity.py --peers VENV/bin/python --out benchmarks/results/diversity.json
    SIFTLINE_DATA=folder python benchmarks/diversity.py --rows 10000 --texts --peers ...

Synthetic unit vectors of 384 dimensions lie around centres, many around a few of them. Each task
runs in a process of its own, on one thread, in interleaved rounds. Processor seconds are compared,
because machines are shared; semhash's index uses all cores, so that its wall time is shorter. The
peers need a Python that has `apricot-select` and `semhash`; where none is named they are left out.
With `--texts` the prompts of Alpaca and others are embedded by `builtin:minilm`, and both dedup the
same vectors.
"""

import argparse
import json
import os
import platform
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

DIMENSIONS = 384
SPREAD = 0.9  # a member's cosine to its centre is about 0.75, two members' 0.55
COPIED = 0.05  # share of vectors that are another one but for some noise, at a cosine of 0.98
BLOCK = 50_000
TARGETS = 500  # queries of RDS+
EVALUATED = 20_000  # vectors that the objectives are measured on
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
}
TEXTS = ("alpaca_random_9k.json", "dolly_3k.json", "gsm8k_train.jsonl", "gpteacher_codegen.json")

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def write_vectors(path: Path, rows: int) -> None:
    """Write clustered unit vectors block by block; the sizes of the clusters have a long tail."""
    random = np.random.default_rng(0)
    clusters = max(10, int(rows**0.5))
    centres = _unit(random.normal(size=(clusters, DIMENSIONS)))
    share = random.pareto(1.5, clusters) + 1
    share /= share.sum()
    file = np.lib.format.open_memmap(path, "w+", np.float32, (rows, DIMENSIONS))
    for start in range(0, rows, BLOCK):
        size = min(BLOCK, rows - start)
        noise = SPREAD * random.normal(size=(size, DIMENSIONS)) / DIMENSIONS**0.5
        block = _unit(centres[random.choice(clusters, size, p=share)] + noise)
        copies = int(COPIED * size)
        block[-copies:] = _unit(block[:copies] + 0.2 * noise[:copies])
        file[start : start + size] = block[random.permutation(size)]
    file.flush()


def _unit(vectors: npt.NDArray[np.float64]) -> Floats:
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def corpus_of(vectors: Floats) -> Any:
    """Return a corpus of one row per vector, with a random score; the first rows are a target."""
    import pyarrow as pa

    from siftline.contracts.corpus import Corpus

    ids = pa.array([f"{row:07d}" for row in range(len(vectors))])
    targets = min(TARGETS, len(vectors) // 10)
    source = ["target"] * targets + ["pool"] * (len(vectors) - targets)
    table = pa.table(
        {
            "vector": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel(), pa.float32()), vectors.shape[1]
            )
        }
    )
    quality = np.random.default_rng(1).random(len(vectors))
    rows = {"id": ids, "content_hash": ids, "prompt_id": ids, "source": pa.array(source)}
    tables = {
        "prompt_embedding": table,
        "prompt_context": pa.table({"hash": pa.nulls(len(vectors), pa.string())}),
        "conversation_embedding": table,
        "quality": pa.table({"value": quality}),
    }
    return Corpus(rows=pa.table(rows), shards=(), tables=tables)


def ours(name: str, **fields: Any) -> Callable[[Floats, int], Ints]:
    """Return a selector as it decides in a run, hashing and verdicts included."""

    def choose(vectors: Floats, budget: int) -> Ints:
        from siftline.pipelines.kinds import method_of

        kind = method_of(name)
        given = {"model": "m", "budget": budget, **fields}
        method: Any = kind(**{key: given[key] for key in given if key in kind.model_fields})
        keep = method.decide(corpus_of(vectors))["keep"].to_numpy()
        return np.flatnonzero(keep)

    return choose


def exact_facility_location(vectors: Floats, budget: int) -> Ints:
    """Choose by our lazy greedy with the whole pool as the sample."""
    from siftline.selectors.vectors.lazy_greedy import lazy_greedy

    ones = np.ones(len(vectors), dtype=np.float32)
    nobody = np.empty(0, dtype=np.int64)
    return lazy_greedy(vectors, budget, ones, nobody, fewest=len(vectors)).order


def apricot(vectors: Floats, budget: int) -> Ints:
    """Choose by apricot's lazy greedy, on a dense matrix of clipped cosines."""
    from apricot import FacilityLocationSelection

    similarity = np.maximum(vectors @ vectors.T, 0).astype(np.float64)
    found = FacilityLocationSelection(budget, metric="precomputed", optimizer="lazy")
    found.fit(similarity)
    order: Ints = np.array(found.ranking, dtype=np.int64)
    return order


def plain_k_center(vectors: Floats, budget: int) -> Ints:
    """Choose farthest first, reading all vectors at each choice."""
    order = [int((vectors @ vectors.mean(axis=0)).argmax())]
    nearest = np.full(len(vectors), -1, dtype=np.float32)
    while len(order) < budget:
        np.maximum(nearest, vectors @ vectors[order[-1]], out=nearest)
        nearest[order[-1]] = np.inf
        order.append(int(nearest.argmin()))
    return np.array(order)


def semhash(vectors: Floats, budget: int) -> Ints:
    """Deduplicate by semhash, which looks neighbours up in an approximate index."""
    from semhash import SemHash

    records = [str(row) for row in range(len(vectors))]
    found = SemHash.from_embeddings(vectors, records, model=None)
    kept = found.self_deduplicate(threshold=0.9).selected
    return np.array(sorted(int(each) for each in kept))


TASKS: dict[str, Callable[[Floats, int], Ints]] = {
    "random": ours("random"),
    "diversity": ours("diversity"),
    "k_center": ours("k_center"),
    "facility_location": ours("facility_location"),
    "deita": ours("deita", score="quality.value"),
    "rds_plus": ours("rds_plus", targets=("target",)),
    "semantic_duplicates": ours("semantic_duplicates", threshold=0.9, exact_up_to=10**5),
    "semantic_duplicates in cells": ours("semantic_duplicates", threshold=0.9, exact_up_to=1),
    "facility_location, exact": exact_facility_location,
    "k_center, plain loop": plain_k_center,
    "apricot": apricot,
    "semhash": semhash,
}
PEERS = ("apricot", "semhash")
BESIDE = {  # what a task is compared with
    "facility_location": ("apricot", "facility_location, exact"),
    "k_center": ("k_center, plain loop",),
    "semantic_duplicates": ("semhash", "semantic_duplicates in cells"),
}
# What does not fit: a matrix of all pairs takes 80 GB at 10^5; all pairs of 10^6 take hours.
SKIPPED = {
    10**5: ("apricot",),
    10**6: ("apricot", "facility_location, exact", "semantic_duplicates", "semhash"),
}


def peak_mib() -> float:
    """Return the peak memory of this program so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def run_here(name: str, path: Path, budget: int, out: Path) -> None:
    """Run one task in this process, and write what it chose and what it took."""
    vectors = np.load(path)
    TASKS[name](vectors[:200].copy(), 10)  # imports and compiles before the clock starts
    before, started, spent = peak_mib(), time.perf_counter(), time.process_time()
    chosen = TASKS[name](vectors, budget)
    figures = {
        "cpu_seconds": round(time.process_time() - spent, 3),
        "seconds": round(time.perf_counter() - started, 3),
        "peak_growth_mib": round(peak_mib() - before),
        "kept": len(chosen),
    }
    np.save(out.with_suffix(".npy"), chosen)
    out.write_text(json.dumps(figures), encoding="utf-8")


def run_task(name: str, python: str, vectors: Path, budget: int) -> tuple[dict[str, Any], Ints]:
    """Run one task in a process of its own."""
    out = vectors.with_name("figures.json")
    command = [python, __file__, "--task", name, str(vectors), str(budget), str(out)]
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL)
    return json.loads(out.read_text(encoding="utf-8")), np.load(out.with_suffix(".npy"))


def objectives(vectors: Floats, chosen: Ints) -> dict[str, float]:
    """Return how near a sample of the pool is to what was chosen, on average and at worst."""
    sample = vectors[np.random.default_rng(2).permutation(len(vectors))[:EVALUATED]]
    nearest = np.full(len(sample), -1, dtype=np.float32)
    for start in range(0, len(chosen), 2048):
        cosine = sample @ vectors[chosen[start : start + 2048]].T
        np.maximum(nearest, cosine.max(axis=1), out=nearest)
    return {
        "mean_similarity": round(float(np.maximum(nearest, 0).mean(dtype=np.float64)), 4),
        "largest_distance": round(float(np.sqrt(np.maximum(0, 2 - 2 * nearest.min()))), 4),
    }


def compare(path: Path, tasks: list[str], budget: int, rounds: int, peers: str) -> dict[str, Any]:
    """Run tasks in interleaved rounds, and set their figures beside one another."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in tasks}
    chosen: dict[str, Ints] = {}
    for _ in range(rounds):
        for name in tasks:
            python = peers if name in PEERS else sys.executable
            found, chosen[name] = run_task(name, python, path, budget)
            figures[name].append(found)
            sys.stderr.write(f"{path.stem} {name}: {found}\n")
    vectors = np.load(path, mmap_mode="r")
    result: dict[str, Any] = {}
    for name in tasks:
        best = min(figures[name], key=lambda each: float(each["cpu_seconds"]))
        result[name] = {**best, **objectives(vectors, chosen[name])}
        for other in BESIDE.get(name, ()):
            if other in tasks:
                ratios = [
                    theirs["cpu_seconds"] / max(mine["cpu_seconds"], 1e-3)
                    for mine, theirs in zip(figures[name], figures[other], strict=True)
                ]
                result[name][f"times faster than {other}"] = round(float(np.median(ratios)), 2)
                both = len(np.intersect1d(chosen[name], chosen[other]))
                result[name][f"choices shared with {other}"] = both
    add_ratios(result, vectors.nbytes)
    return result


def add_ratios(result: dict[str, Any], size: int) -> None:
    """Add memory in units of the vectors, and objectives in those of what a task is beside."""
    for name, mine in result.items():
        mine["memory, of the vectors"] = round(mine["peak_growth_mib"] * 2**20 / size, 2)
        for other in BESIDE.get(name, ()):
            if other in result:
                theirs = result[other]["mean_similarity"]
                mine[f"objective, of {other}"] = round(mine["mean_similarity"] / theirs, 4)


def embed_texts(data: Path, path: Path) -> int:
    """Write the embeddings of the distinct prompts of some public datasets."""
    from siftline.contracts.model_spec import ModelSpec
    from siftline.models.loading import load_embedder

    texts: set[str] = set()
    for name in TEXTS:
        text = (data / name).read_text(encoding="utf-8")
        rows = json.loads(text) if name.endswith(".json") else map(json.loads, text.splitlines())
        for row in rows:
            parts = [row.get(key) for key in ("instruction", "question", "input", "context")]
            texts.add("\n".join(part for part in parts if part))
    embedder = load_embedder(ModelSpec(name="builtin:minilm"), "cpu")
    np.save(path, embedder.embed(sorted(texts)).vectors)
    return len(texts)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    result: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, one thread, shared",
        "python": platform.python_version(),
    }
    present = [name for name in TASKS if name not in PEERS or arguments.peers]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for rows in arguments.rows:
            path = Path(folder) / f"{rows}.npy"
            write_vectors(path, rows)
            tasks = [
                name
                for name in present
                if name not in SKIPPED.get(rows, ()) and name not in arguments.skip
            ]
            rounds = arguments.rounds if rows <= 10**4 else 1
            found = compare(path, tasks, arguments.budget, rounds, arguments.peers)
            result[str(rows)] = {"budget": arguments.budget, "rounds": rounds, "tasks": found}
            path.unlink()
            write(result, arguments.out)
        if arguments.texts:
            path = Path(folder) / "texts.npy"
            rows = embed_texts(Path(os.environ["SIFTLINE_DATA"]), path)
            names = [str(n) for n in ("semantic_duplicates", "semhash") if n in present]
            found = compare(path, names, 0, arguments.rounds, arguments.peers)
            result["texts"] = {"prompts": rows, "rounds": arguments.rounds, "tasks": found}
    return result


def write(result: dict[str, Any], out: Path | None) -> None:
    """Write what has been measured so far, if anywhere."""
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5])
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip", nargs="+", default=[], choices=list(TASKS))
    parser.add_argument("--peers", default="", help="a Python with apricot-select and semhash")
    parser.add_argument("--texts", action="store_true")
    parser.add_argument("--folder", type=Path, help="for the vectors, 1.5 GB at 10^6")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        name, vectors, budget, out = arguments.task
        run_here(name, Path(vectors), int(budget), Path(out))
        return
    if arguments.texts and "SIFTLINE_DATA" not in os.environ:
        sys.exit("SIFTLINE_DATA is not set; expected the folder that holds " + ", ".join(TEXTS))
    result = measure(arguments)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    write(result, arguments.out)


if __name__ == "__main__":
    main()
