"""Where one row stands for several, its content decides which, and not the order of the rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from corpora import corpus_of, kept
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, playing, said, texts

from siftline.contracts.corpus import EXAMPLES, Corpus, one_of_each, shard_name
from siftline.contracts.examples import Message, content_hash, prompt_hash
from siftline.contracts.method import Request
from siftline.contracts.parquet import write_table
from siftline.filters.exact_duplicates import ExactDuplicates
from siftline.pipelines.scores.store import ScoreStore
from siftline.pipelines.scores.work import pending, score_work
from siftline.scorers.candidate import Candidate
from siftline.scorers.prompt_embedding import PromptEmbedding
from siftline.scorers.samples import Samples
from siftline.selectors.baselines import StratifiedRandom

# Three spellings of one prompt, each with its response, and another prompt.
TALKS = [("Say  it.", "b"), ("Say it.", "c"), (" Say it. ", "a"), ("And it?", "d")]


@given(st.lists(st.tuples(st.sampled_from("pq"), st.booleans()), max_size=8), st.randoms())
def test_one_row_of_each_key_stands_for_it_whatever_the_order(
    rows: list[tuple[str, bool]], random: Any
) -> None:
    chosen = []
    for order in (list(range(len(rows))), random.sample(range(len(rows)), len(rows))):
        prompts = [rows[n][0] for n in order]
        corpus = corpus_of(prompts, ids=[f"r{n}" for n in order])
        among = np.array([rows[n][1] for n in order], dtype=bool)
        mask = one_of_each(corpus, corpus.rows["prompt_id"].combine_chunks(), among)
        chosen.append(set(corpus.rows["id"].filter(pa.array(mask, pa.bool_())).to_pylist()))
    wanted = {p: f"r{n}" for n, (p, true) in reversed(list(enumerate(rows))) if true}
    assert chosen == [set(wanted.values())] * 2


def stored(folder: Path, order: list[int]) -> Corpus:
    """Write the conversations in an order, two in a shard."""
    records = []
    for number in order:
        turns: list[Message] = [
            {"role": role, "content": text}
            for role, text in zip(("user", "assistant"), TALKS[number], strict=True)
        ]
        keys = {"content_hash": content_hash(turns), "prompt_id": prompt_hash(turns)}
        records.append(
            {"id": f"r{number}", **keys, "messages": turns, "source": "s", "metadata": "{}"}
        )
    (folder / "examples").mkdir(parents=True)
    for shard in range(2):
        part = pa.Table.from_pylist(records[2 * shard : 2 * shard + 2], schema=EXAMPLES)
        write_table(part, folder / "examples" / shard_name(shard))
    return Corpus.open(folder / "examples")


@pytest.mark.parametrize("kind", [Samples, Candidate, PromptEmbedding])
def test_prompts_that_share_a_score_are_scored_by_content(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, order in (("one", [0, 1, 2, 3]), ("two", [3, 1, 2, 0])):
        model = Scripted(lambda turns: said(json.dumps(texts([turns]))))
        runtime = playing(model, monkeypatch, "judge")
        corpus = stored(tmp_path / name, order)
        prints = {role: {"name": role} for role in ("judge", "embedder")}
        store = ScoreStore(tmp_path / name / "cache", prints, runtime)
        scorer = kind(model="embedder" if kind is PromptEmbedding else "judge")
        request = Request(scorer, np.ones(len(corpus), dtype=bool))
        for piece in pending(0, corpus, request, store):
            score_work(corpus.take(piece.shard, piece.positions), piece, store)
        cache = store.scores(scorer)
        keys = corpus.rows["prompt_id"].combine_chunks()
        scores = cache.read(cache.locate(keys)).to_pylist()
        found.append(dict(zip(corpus.rows["id"].to_pylist(), scores, strict=True)))
    assert found[0] == found[1]
    assert found[0]["r0"] == found[0]["r1"] != found[0]["r3"]


def test_of_equal_texts_the_same_one_is_kept_in_any_order() -> None:
    signatures = {"signature": pa.table({"text": ["x", "y", "x", "x"]})}
    hashes = ["h3", "h2", "h1", "h4"]
    corpus = corpus_of("pqpp", tables=signatures, content_hash=hashes)
    assert kept(corpus, ExactDuplicates().decide(corpus)) == {"r1", "r2"}


def test_a_prompt_of_several_strata_belongs_to_the_first_by_name() -> None:
    chosen = []
    for order in ([0, 1, 2, 3, 4, 5], [1, 0, 5, 4, 3, 2]):
        prompts, sources = "aabcde", "21" + "2222"
        corpus = corpus_of(
            [prompts[n] for n in order],
            ids=[f"r{n}" for n in order],
            source=[sources[n] for n in order],
        )
        method = StratifiedRandom(budget=2, unit="prompt", seed=1)
        chosen.append(kept(corpus, method.decide(corpus)))
    assert chosen[0] == chosen[1]
