"""What the embedders read of rows with calls, tools and images."""

from typing import Any

import pyarrow as pa
import pytest
from agent_rows import CLOCK, OPENAI, TOOLS, agent_table, assistant, call, example, user

from siftline.contracts import progress
from siftline.contracts.corpus import EXAMPLES
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scorer
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.scorers.prompt_embedding import PromptEmbedding

RUNTIME = Runtime(models={"m": ModelSpec(name="builtin:toy")}, device="cpu")
SCORERS = (PromptEmbedding(model="m"), ConversationEmbedding(model="m"))
IMAGES = {"image_parts", "image_column"}


def table(*records: dict[str, Any]) -> pa.Table:
    rows = [example(record, f"r{n}") for n, record in enumerate(records)]
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


@pytest.mark.parametrize("scorer", SCORERS, ids=["prompt", "conversation"])
def test_images_have_a_status_and_no_vector(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    monkeypatch.setattr(progress, "advance", lambda rows, tokens=0: seen.append(rows))
    found = scorer.score(agent_table(), RUNTIME).table
    by_id = dict(zip(OPENAI, found.to_pylist(), strict=True))
    assert {name for name, row in by_id.items() if row["status"] == "not_text_only"} == IMAGES
    assert {name for name, row in by_id.items() if row["vector"] is None} == IMAGES
    assert {row["status"] for name, row in by_id.items() if name not in IMAGES} == {"ok"}
    assert sum(seen) == len(OPENAI)


@pytest.mark.parametrize("scorer", SCORERS, ids=["prompt", "conversation"])
def test_images_alone(scorer: Scorer) -> None:
    found = scorer.score(agent_table(sorted(IMAGES)), RUNTIME).table
    assert found["vector"].null_count == 2


def test_a_prompt_without_the_image_of_its_response_is_text() -> None:
    drawn = {"type": "image_url", "image_url": {"url": "data:,"}}
    row = {"messages": [user("Draw it."), assistant([drawn])]}  # type: ignore[arg-type]
    statuses = [each.score(table(row), RUNTIME).table["status"].to_pylist() for each in SCORERS]
    assert statuses == [["ok"], ["not_text_only"]]


def test_a_conversation_holds_its_calls_thoughts_and_tools() -> None:
    def row(tools: Any, arguments: Any, thought: str) -> dict[str, Any]:
        turn = assistant("", call("clock", arguments), reasoning_content=thought)
        return {"messages": [user("How late?"), turn], "tools": tools}

    rows = [
        row(TOOLS, {}, "a"),
        row([CLOCK], {}, "a"),
        row(TOOLS, {"zone": "CET"}, "a"),
        row(TOOLS, {}, "b"),
    ]
    vectors = ConversationEmbedding(model="m").score(table(*rows), RUNTIME).table["vector"]
    assert len({tuple(vector) for vector in vectors.to_pylist()}) == 4
