import math
from typing import Any

import numpy as np
import pytest
from tiny_models import engine, torch
from tolerances import nats

from siftline.models.engine.batch_limit import BatchLimit
from siftline.models.likelihood import Encoded


def test_what_is_nearly_as_large_as_what_did_not_fit_is_cut() -> None:
    limit = BatchLimit()
    assert limit.tokens == math.inf
    limit.failed(1000)
    assert limit.tokens == 750
    limit.failed(4000)  # a single row, which cannot be cut
    assert limit.tokens == 750


def test_a_little_more_is_tried_after_a_while_and_later_each_time() -> None:
    limit = BatchLimit()

    def passes_until_more() -> int:
        before, count = limit.tokens, 0
        while limit.tokens == before:
            limit.passed()
            count += 1
        assert before < limit.tokens <= 1.25 * before
        return count

    limit.failed(1000)
    first = passes_until_more()
    limit.failed(900)
    assert limit.tokens < 900
    assert passes_until_more() == 2 * first
    assert passes_until_more() == 2 * first  # it was right


def test_passes_change_nothing_where_everything_fits() -> None:
    limit = BatchLimit()
    for _ in range(1000):
        limit.passed()
    assert limit.tokens == math.inf


def test_rows_of_all_lengths_pass_a_small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = engine(max_position_embeddings=4096)
    scorer.window = 4096
    forward = scorer.network.score_pack
    tried: list[tuple[int, bool]] = []

    def small(batch: Any, *options: Any) -> Any:
        # What attention and the layers of a device would hold, of which it has so much.
        width = max(span.length for span in batch.spans)
        fits = len(batch.ids) + width**2 // 1000 <= 1500
        tried.append((len(batch.ids), fits))
        if not fits:
            raise torch.OutOfMemoryError("too many")
        return forward(batch, *options)

    random = np.random.default_rng(0)
    lengths = [600, 500, *random.integers(10, 80, 400).tolist()]
    rows = [Encoded(tuple(random.integers(0, 300, n).tolist()), 3, n - 3, False) for n in lengths]
    whole = scorer.score(rows, max_batch_tokens=2048)
    monkeypatch.setattr(scorer.network, "score_pack", small)
    found = scorer.score(rows, max_batch_tokens=2048)
    for one, other in zip(whole.rows, found.rows, strict=True):
        assert one.sum_logprob == pytest.approx(other.sum_logprob, abs=nats(other.scored_tokens))
    # A pass is wasted now and then, and the others are not much smaller than what would fit.
    failed = [size for size, fits in tried if not fits]
    passed = [size for size, fits in tried if fits]
    assert len(failed) <= 3
    assert np.mean(passed) > 600
