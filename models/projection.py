"""From hidden states to log-probabilities, without ever holding the logits of a batch.

Each block of states is multiplied with one block of the vocabulary after the other. The product is
small enough to stay in the processor's cache while its logsumexp is taken in float32, and a model's
largest matrix is read from memory once per block of states.
"""

import torch

# Rows and columns of the logits that exist at once, by kind of device. On CPU half a million
# bfloat16 fit the second-level caches; a GPU needs larger products to reach its full rate.
_BLOCK = {"cpu": (512, 2048), "cuda": (4096, 16384)}


def log_probabilities(
    states: torch.Tensor, targets: torch.Tensor, head: torch.nn.Linear
) -> torch.Tensor:
    """Return the log-probability of one token after each state.

    Args:
        states: [scored, hidden].
        targets: [scored] tokens.
        head: The vocabulary projection.

    Returns:
        [scored] float32, in nats.
    """
    rows, columns = _BLOCK["cpu" if states.device.type == "cpu" else "cuda"]
    parts = zip(torch.split(states, rows), torch.split(targets, rows), strict=True)
    return torch.cat([_block(part, target, head, columns) for part, target in parts])


def _block(
    states: torch.Tensor, targets: torch.Tensor, head: torch.nn.Linear, columns: int
) -> torch.Tensor:
    totals = []
    chosen = torch.zeros(len(states), dtype=torch.float32, device=states.device)
    for start in range(0, head.out_features, columns):
        weight = head.weight[start : start + columns]
        bias = None if head.bias is None else head.bias[start : start + columns]
        logits = torch.nn.functional.linear(states, weight, bias)
        inside = targets - start
        found = logits.gather(1, inside.clamp(0, len(weight) - 1)[:, None])[:, 0]
        here = (inside >= 0) & (inside < len(weight))
        chosen = torch.where(here, found.float(), chosen)
        totals.append(logits.float().logsumexp(dim=1))
    return chosen - torch.stack(totals).logsumexp(dim=0)
