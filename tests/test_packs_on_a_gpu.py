"""Packs of beginnings within beginnings on a GPU, against each token by itself on the CPU."""

from typing import Any

import numpy as np
import pytest
from test_varlen import attended, rows_of
from tiny_models import tiny_model, torch

from siftline.contracts import progress
from siftline.models.engine import attention
from siftline.models.engine.forward import Network
from siftline.models.engine.layout import layout_of
from siftline.models.engine.packing import pack, plan_packs
from siftline.models.engine.passes import Passes
from siftline.models.likelihood import Encoded

pytestmark = pytest.mark.gpu

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "no prefix": [(0,), (1,), (2,)],
    "one prefix": [(0, 1), (0, 2), (0,)],
    "two prefixes with a gap": [(0, 1), (0, 2), (1, 0), (1, 2), (2,)],
    "three levels": [(0, 1, 2), (0, 1, 2), (0, 1), (0, 2), (0, 2), (1,), (2, 2), (2, 2)],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("flash", [True, False])
def test_attention_is_that_of_each_token(shape: str, key_heads: int, flash: bool) -> None:
    rows = rows_of(SHAPES[shape])
    plan = plan_packs(rows, 4096)
    laid = pack(plan.batches[0], rows, plan.riders)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if flash else torch.float32
    q, k, v = (
        torch.randn(len(laid.ids), heads, 64).to(dtype) for heads in (4, key_heads, key_heads)
    )
    expected = attended(laid, 0.125, q.double(), k.double(), v.double())
    device = torch.device("cuda")
    tensors = (each.to(device).transpose(0, 1)[None] for each in (q, k, v))
    with attention.laid_out(layout_of(laid, device, flash)):
        found = attention.packed_attention(*tensors, 0.125)[0]
    tolerance = 0.02 if flash else 1e-5
    torch.testing.assert_close(found.double().cpu(), expected, atol=tolerance, rtol=tolerance)


def encoded() -> list[Encoded]:
    """Rows on three levels, and rows that share nothing."""
    rows = []
    for row in rows_of(SHAPES["three levels"] + SHAPES["no prefix"]):
        ids = tuple(token % 300 for token in row.ids)
        rows.append(Encoded(ids, 3, len(ids) - 3, False))
    return rows


def means(network: Network, share: bool) -> Any:
    rows = encoded()
    found = Passes(network, rows, share_prompts=share).run()
    return found / np.array([row.scored_tokens for row in rows])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_trees_score_as_on_the_cpu(dtype: str, compiled: bool) -> None:
    # Heads of 64, as the kernel knows them.
    changes = {"max_position_embeddings": 512, "hidden_size": 256, "initializer_range": 0.1}
    expected = means(Network(tiny_model("Llama", **changes), "here"), share=False)
    model = tiny_model("Llama", **changes).to("cuda", getattr(torch, dtype))
    network = Network(model, "there")
    network.compile_from(0 if compiled else 1e30)
    with progress.hearing() as told:
        found = means(network, share=True)
    difference = np.abs(found - expected)
    assert difference.max() < (1e-3 if dtype == "float32" else 0.1)
    way = "blockwise" if dtype == "float32" else "varlen"
    assert f"packed, {way}{', compiled' if compiled else ''}" in told[0]
