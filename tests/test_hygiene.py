"""Every surface fault of an answer, each beside what looks like it and is right."""

from typing import Any

import pyarrow as pa
import pytest
from adversarial import Piece, growth
from agent_rows import assistant, example, system, user

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.runtime import Runtime
from siftline.filters.hygiene import Hygiene
from siftline.scorers.hygiene import FAULTS, HygieneFaults
from siftline.scorers.phrases import REFUSALS
from siftline.scorers.surface.claims import REFUSING

Record = dict[str, Any]
ASKS_JSON = "Return the towns as a JSON object."


def table(*records: Record) -> pa.Table:
    rows = [example(record, f"r{n}") for n, record in enumerate(records)]
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def faults(*records: Record, method: Hygiene | None = None) -> list[dict[str, str]]:
    """Return the faults of rows, by slug."""
    (scorer,) = (method or Hygiene()).scorers()
    scored = scorer.score(table(*records), Runtime()).table.drop_columns(["content_hash"])
    return [{k: v for k, v in row.items() if v is not None} for row in scored.to_pylist()]


def said(text: str, asked: str = "Tell me something.", **fields: Any) -> Record:
    return {"messages": [user(asked), assistant(text, **fields)]}


FAULTY: dict[str, list[tuple[str, str]]] = {
    "foreign_identity": [
        ("Hello! I am ChatGPT.", "Hello"),
        ("I'm Claude, an AI assistant, and glad to meet you.", "Who are you?"),
        ("I am a large language model trained by OpenAI.", "Who made you?"),
        ("As an AI developed by OpenAI, I see it so.", "What do you think?"),
        ("Yes, I am ChatGPT.", "Are you ChatGPT?"),
        ("I was created by Anthropic to be a helpful assistant.", "Where are you from?"),
        ("My name is Bard, and I am a chatbot.", "Your name?"),
        ("Ich bin ChatGPT.", "Wer bist du?"),
        ("Ich bin eine KI. Ich wurde von OpenAI entwickelt.", "Wer hat dich gemacht?"),
        ("Je suis ChatGPT.", "Qui es-tu ?"),
        ("J'ai \u00e9t\u00e9 d\u00e9velopp\u00e9 par OpenAI.", "Qui t'a fait ?"),
        ("Soy ChatGPT.", "\u00bfQui\u00e9n eres?"),
        ("\u6211\u662fChatGPT\u3002", "\u4f60\u597d"),
        ("\u6211\u662f\u901a\u4e49\u5343\u95ee\u3002", "\u4f60\u597d"),
        ("\u042f ChatGPT.", "\u041a\u0442\u043e \u0442\u044b?"),
    ],
    "knowledge_cutoff": [
        ("As of my last update in September 2021, it was so.", "Is it so?"),
        ("My knowledge cutoff is in 2023.", "Is it so?"),
        ("As of my knowledge cut-off, nobody has said.", "Is it so?"),
        ("I don't have access to real-time information.", "What is the time?"),
        ("My training data only goes up to 2021.", "What is new?"),
        ("Mein Wissensstand ist vom September 2021.", "Was gibt es?"),
        ("Depuis ma derni\u00e8re mise \u00e0 jour, rien.", "Quoi de neuf ?"),
        ("Seg\u00fan mi \u00faltima actualizaci\u00f3n, nada.", "\u00bfQu\u00e9 hay?"),
        ("\u6211\u7684\u77e5\u8bc6\u622a\u6b62\u4e8e2021\u5e74\u3002", "\u4f60\u597d"),
    ],
    "refusal": [
        ("That is a hard one. I cannot help with it.", "How?"),
        ("I'm sorry, but I can't assist with that.", "How?"),
        ("Well.\n\nI'm unable to provide that.", "How?"),
        ("As an AI language model, I cannot provide legal advice.", "May I?"),
        ("It depends. However, I'm afraid I can\u2019t help you there.", "How?"),
        ("Lo siento, pero no puedo ayudarte con eso.", "\u00bfC\u00f3mo?"),
        ("Es tut mir leid, aber ich kann dabei nicht helfen.", "Wie?"),
        ("\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u63d0\u4f9b\u3002", "\u4f60\u597d"),
    ],
    "template_leftover": [
        ("Paris.<|im_end|>", "Which town?"),
        ("Paris.<|eot_id|>", "Which town?"),
        ("Paris. [INST] And of Spain? [/INST]", "Which town?"),
        ("<<SYS>>\nBe kind.\n<</SYS>> Paris.", "Which town?"),
        ("### Response:\nParis.", "Which town?"),
        ("Paris.\n\n### Instruction:\nName another.", "Which town?"),
        ("Paris.\nHuman: And of Spain?", "Which town?"),
        ("<s> Paris.", "Which town?"),
        ("Paris.</s>", "Which town?"),
        ("Paris.<\uff5cend\u2581of\u2581sentence\uff5c>", "Which town?"),
    ],
    "json_invalid": [
        ('{"towns": ["Rome", "Paris"}', ASKS_JSON),
        ('{"towns": ["Rome"', ASKS_JSON),
        ("{'towns': ['Rome']}", ASKS_JSON),
        ('Here it is.\n```json\n{"towns": [1,]}\n```', "Answer in JSON."),
        ('```json\n{"towns": 1', "Please respond with a valid JSON array of towns."),
        ("[" * 100_000, "Output only JSON."),
        ('{"a": [1, 2}', "Return JSON with the keys a and b."),
    ],
    "truncated_ending": [
        ("We went to Rome, Paris, London, Madrid,", "Where?"),
        ("The three main reasons for this are the", "Why?"),
        ("They live in a house with a garden and", "Where?"),
        ("It is one of the most well-known and far-", "What?"),
        ("It is the largest town of the country (", "What?"),
        ("He looked at her and said \u201c", "What?"),
        ("These are the things you should bring:", "What?"),
        ("Wir gehen heute in den Park und", "Wohin?"),
        ("Nous allons au parc avec les", "O\u00f9 ?"),
        ("\u6211\u4eec\u53bb\u4e86\u5317\u4eac\u3001\u4e0a\u6d77\u3001", "\u54ea\u91cc\uff1f"),
    ],
    "mojibake": [
        ("A caf\u00c3\u00a9 in the town.", "Where?"),
        ("It\u00e2\u20ac\u2122s fine.", "How?"),
        ("20\u00c2\u00b0C.", "How warm?"),
        ("Fine \u00f0\u0178\u02dc\u20ac.", "How?"),
        ("It is \ufffd.", "What?"),
        ("It\u0092s fine.", "How?"),
        ("\u0420\u045f\u0421\u0402\u0420\u0451\u0420\u0406\u0420\u00b5\u0421\u201a.", "?"),
        ("\u00e4\u00bd\u00a0\u00e5\u00a5\u00bd.", "?"),
    ],
    "link_only": [
        ("https://example.org/page", "How are clouds made?"),
        ("See https://example.org for details.", "How are clouds made?"),
        ("Please visit [this page](https://example.org).", "How are clouds made?"),
        ("1. https://example.org\n2. www.example.com", "How are clouds made?"),
    ],
}

SOUND: dict[str, Record] = {
    "a model as the topic": said("ChatGPT is a model by OpenAI. It was trained by OpenAI."),
    "a persona of the system turn": {
        "messages": [system("You are ChatGPT."), user("Hi"), assistant("I am ChatGPT.")]
    },
    "a persona of the user's": said("I am ChatGPT.", "Write one line as ChatGPT would."),
    "a claim in a story": said('The robot said: "I am ChatGPT."'),
    "a claim in code": said('Run it:\n```python\nprint("I am ChatGPT.")\n```'),
    "a painter": said("I am Claude Monet, a painter."),
    "a first name": said("My name is Claude, and I come from Lyon."),
    "a sign of the zodiac": said("I am a Gemini, born in June."),
    "a user of one": said("I am using ChatGPT, and I like OpenAI."),
    "another's cutoff": said("The knowledge cutoff of a model is the end of its data."),
    "an update of software": said("As of the last update, the button is blue."),
    "a letter that is sorry": said("Dear Ann, I am sorry, but the parcel is late."),
    "a refusal that is told": said('He frowned. "I cannot help you with that," he said.'),
    "to help but wonder": said("It is late. I cannot help but wonder at it."),
    "somebody else cannot": said("The dog cannot help with it. They are unable to provide it."),
    "a mark in code": said("Write it as `<|im_end|>`, or:\n```\n[INST]\n```"),
    "a mark that is asked about": said("<|im_end|> ends a turn.", "What is <|im_end|>?"),
    "a dialogue that is asked for": said(
        "Human: Hi\nAssistant: Hello.", "Write a dialogue of a human and an assistant."
    ),
    "HTML that strikes through": said("It is <s>old</s> new."),
    "a word before a colon": said("There are two kinds of beings. Human: one of them."),
    "a heading": said("### Answers\n\nParis."),
    "JSON": said('{"towns": ["Rome", "]"]}', ASKS_JSON),
    "JSON Lines": said('{"a": 1}\n{"a": 2}', "Return JSON lines, in JSON format."),
    "JSON and words": said('{"a": 1}\n\nThis is all.', ASKS_JSON),
    "JSON in a block": said('Here:\n```json\n{"a": 1}\n```', ASKS_JSON),
    "words where JSON is asked for": said("There is no town.", ASKS_JSON),
    "broken JSON that nobody asked for": said('{"a": [1, 2}', "What is wrong here?"),
    "code about JSON": said("[x for x in y]", "Write a JSON parser in Python."),
    "a list of tags": said("[INFO] it is done", "Return a line of the log."),
    "a comma after a greeting": said("Thank you.\n\nBest regards,"),
    "a title": said("The Old Man and the Sea"),
    "one word": said("the"),
    "a letter": said("A"),
    "no full stop": said("It is a town in the north of Italy"),
    "a smiley": said("I am so sorry to hear of all that :("),
    "code that ends in a colon": said("for each of the rows in the table:\n    if x == y:"),
    "a block of code at the end": said("Use this:\n```c\nint main() {\n```"),
    "a rule of dashes": said("It is done.\n---"),
    "Thai": said("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a"),
    "Devanagari": said("\u092f\u0939 \u0920\u0940\u0915 \u0939\u0948\u0964"),
    "Chinese": said("\u6211\u4eec\u53bb\u4e86\u5317\u4eac\u3002"),
    "Arabic": said("\u0645\u0631\u062d\u0628\u0627 \u0628\u0643"),
    "accents": said(
        "\u00c0 la caf\u00e9t\u00e9ria, \u00ab \u00c9t\u00e9\u00a0\u00bb, 20\u00a0\u00b0C."
    ),
    "a capital at the end": said("\u201cAMANH\u00c3\u201d \u2013 IRM\u00c3\u2026"),
    "Russian capitals": said("\u0420\u041e\u0421\u0421\u0418\u042f, \u0421\u0421\u0421\u0420."),
    "emoji": said("Fine \U0001f600."),
    "a link that is asked for": said("https://example.org", "What is the URL of the site?"),
    "a link and an answer": said("Clouds are made of water: https://example.org"),
    "a thought that speaks of itself": said(
        "<think>I am ChatGPT. As of my last update, the</think>Fine."
    ),
    "a thought apart": said("Fine.", reasoning_content="I am ChatGPT. I cannot help with it."),
    "a turn that is not trained on": {
        "messages": [user("Hi"), assistant("I am ChatGPT.", weight=0), assistant("Hello.")]
    },
    "a user": {"messages": [user("I am ChatGPT.<|im_end|> the"), assistant("Hello.")]},
}


@pytest.mark.parametrize("slug", FAULTS)
def test_a_fault_is_found(slug: str) -> None:
    found = faults(*[said(text, asked) for text, asked in FAULTY[slug]])
    missed = [row for row, each in zip(FAULTY[slug], found, strict=True) if slug not in each]
    assert not missed
    assert all(each[slug].startswith("turn 2: ") and len(each[slug]) < 125 for each in found)


@pytest.mark.parametrize("name", sorted(SOUND))
def test_what_looks_like_a_fault_and_is_none(name: str) -> None:
    assert faults(SOUND[name]) == [{}]


def test_the_place_of_a_fault() -> None:
    earlier = [user("Hi"), assistant("Hello, I am ChatGPT."), user("Well?"), assistant("Fine.")]
    assert faults({"messages": earlier}, said("{\n  [1, 2\n}", ASKS_JSON)) == [
        {"foreign_identity": 'turn 2: "Hello, I am ChatGPT."'},
        {"json_invalid": "turn 2: line 3, column 1: '}' closes '['"},
    ]


def test_marks_and_damage_in_thoughts_count() -> None:
    rows = (
        said("Fine.", reasoning_content="Hm.<|im_end|>"),
        said("<think>caf\u00c3\u00a9</think>Fine."),
    )
    assert [list(each) for each in faults(*rows)] == [["template_leftover"], ["mojibake"]]


def test_own_names_and_lists_are_the_users() -> None:
    rows = said("I am ChatGPT."), said("I am Qwxz."), said("No way, sir."), said("a @@END@@ b")
    method = Hygiene(
        identities=("Qwxz", "ChatGPT"),
        own_names=("chatgpt",),
        refusals=("no way",),
        template_marks=("@@END@@",),
    )
    assert [
        list(each) for each in faults(*rows, said("I am an AI. I am Qwxz."), method=method)
    ] == [
        [],
        [],
        ["refusal"],
        ["template_leftover"],
        ["foreign_identity"],
    ]
    none = Hygiene(identities=(), refusals=(), template_marks=())
    assert faults(*rows, method=none) == [{}] * 4


def test_text_of_the_data_is_shown_and_not_obeyed() -> None:
    (found,) = faults(said("\x1b[31m I am ChatGPT."))
    assert found["foreign_identity"] == 'turn 2: "\\x1b[31m I am ChatGPT."'


def test_phrases_of_the_rules_are_among_those_of_refusals() -> None:
    assert len(set(REFUSING) & set(REFUSALS)) >= 10
    assert "i am sorry, but" not in REFUSING


def test_a_fault_is_reported_or_drops() -> None:
    rows = table(said("Fine."), said("I am ChatGPT.<|im_end|>"), said("Paris.</s>"))
    for drop, keep in (({}, [1, 1, 1]), ({"template_leftover": "drop"}, [1, 0, 0])):
        method = Hygiene.model_validate(drop)
        (scorer,) = method.scorers()
        scores = scorer.score(rows, Runtime()).table.drop_columns(["content_hash"])
        corpus = Corpus(rows=rows, shards=()).with_scores("hygiene", scores)
        decided = method.decide(corpus)
        assert decided["keep"].to_pylist() == [bool(each) for each in keep]
        first = "template_leftover" if drop else "foreign_identity"
        assert decided["reason"].to_pylist() == ["kept", first, "template_leftover"]
        figures = method.diagnose(corpus, decided)
        assert figures["rows_by_fault"] == {"foreign_identity": 1, "template_leftover": 2}
        assert len(figures["warnings"]) == (0 if drop else 1)


def test_every_fault_is_in_the_tables_and_has_a_field() -> None:
    assert tuple(FAULTY) == FAULTS
    assert tuple(Hygiene.model_fields)[1 : 1 + len(FAULTS)] == FAULTS
    assert HygieneFaults().score(table(said("a")), Runtime()).table.column_names[1:] == [*FAULTS]


# What is looked at closely and is none, again and again; the turns before speak of it.
CLOSE = (
    '"I am ChatGPT. ',
    "I am Gemini. ",
    '"I cannot help you. ',
    ". I cannot help but ",
    "<|im_end|>",
    "\nHuman: ",
    "`I am ChatGPT.` ",
    '{"a": [',
    "www.a.b ",
    "the ",
)


def test_answers_full_of_what_is_none_take_linear_time() -> None:
    go = """
from siftline.scorers.hygiene import HygieneFaults
from siftline.scorers.surface.check import Turn
def go(text):
    asked = "Answer in JSON. <|im_end|> human" + text
    earlier = [{"role": "user", "content": asked}]
    for check in HygieneFaults()._checks().values():
        check.find(Turn(text, earlier))
"""
    assert not growth(go, [Piece(each) for each in CLOSE])
