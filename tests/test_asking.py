"""What a model is asked with, and which of its answers are texts."""

from typing import Any

import pytest
from agent_rows import TOOLS, agent_table
from scripted import Scripted, playing, said

from siftline.contracts.examples import Message
from siftline.models.talks import Talk
from siftline.scorers.asking import answers_to
from siftline.scorers.candidate import Candidate
from siftline.scorers.judges.judging import question_of
from siftline.scorers.paraphrase import Paraphrase
from siftline.scorers.samples import Samples

ASKED: list[Message] = [{"role": "user", "content": "Is it warm in Rome?"}]


class Seeing(Scripted):
    """A scripted model that keeps the tools that it was offered."""

    def __init__(self, answer: str) -> None:
        super().__init__(generate=lambda turns: said(answer))
        self.tools: list[Any] = []

    def generate(self, prompts: Any, sampling: Any, **options: Any) -> Any:
        self.tools += options.get("tools") or [()] * len(prompts)
        return super().generate(prompts, sampling, **options)


@pytest.mark.parametrize(
    ("scorer", "asked"),
    [
        (Samples(model="judge", explain=False), "tool"),
        (Candidate(model="judge"), "tool"),
        (Paraphrase(model="judge"), "user"),  # which asks for the paraphrase
    ],
)
def test_earlier_calls_and_tools_are_passed_on(
    scorer: Any, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Seeing("It is 31 degrees.")
    rows = agent_table(["answers_a_result", "plain", "image_parts"])
    found = scorer.score(rows, playing(model, monkeypatch)).table["status"].to_pylist()
    assert found == ["ok", "ok", "not_text_only"]
    turns, plain = model.generated
    assert [turn["role"] for turn in turns][:3] == ["user", "assistant", "tool"]
    assert turns[-1]["role"] == asked
    assert "weather" in (turns[1]["tool_calls"] or "")
    assert len(plain) == 1
    assert model.tools == [TOOLS, []]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("Yes, it is.", None),
        ('{"name": "a song", "year": 1970}', None),
        ('<tool_call>\n{"name": "weather", "arguments": {"town": "Rome"}}\n</tool_call>', "call"),
        ('I look.\n[TOOL_CALLS][{"name": "weather", "arguments": {}}]', "call"),
        ('Action: ```json\n[{"tool_name": "weather", "parameters": {}}]\n```', "call"),
        ("<tool_call>weather\n<arg_key>town</arg_key></tool_call>", "call"),
        (" to=functions.weather<|channel|>commentary json<|message|>{}", "call"),
        ("<function=weather>{}</function>", "call"),
    ],
)
def test_an_answer_that_calls_what_is_offered_is_no_text(answer: str, status: str | None) -> None:
    model = Scripted(generate=lambda turns: said(answer))
    talks: list[Talk | str] = [Talk(ASKED, TOOLS), Talk(ASKED), "not_text_only"]
    found = answers_to(model, talks, Samples(model="m").sampling, "chat", lambda *done: None).rows
    assert found[0] == ("tool_calls" if status else said(answer))
    assert found[1:] == [said(answer), "not_text_only"]


def test_a_question_holds_what_was_called_and_thought() -> None:
    (row,) = agent_table(["answers_a_result"]).to_pylist()
    text = question_of(row["messages"][:-1], row["tools"])
    assert text.startswith('Tools:\n{"type": "function"')
    assert text.endswith(
        "user: Is it warm in Rome?\nassistant: <tool_call>\n"
        '{"name": "weather", "arguments": {"town": "Rome"}}\n</tool_call>\n'
        'tool: {"degrees": 31}'
    )
    (row,) = agent_table(["reasons"]).to_pylist()
    assert question_of(row["messages"][:-1]) == "What is 17 times 6?"
    assert "<think>\nTen times six is 60" in question_of([*row["messages"], *row["messages"]])
