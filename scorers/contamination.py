"""The evidence that a conversation holds an item of a benchmark, with both texts."""

from typing import Any, ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.scorers.leaks.conversation_texts import conversation_texts
from siftline.scorers.leaks.evidence import Conversation, leak_in, template_in
from siftline.scorers.leaks.opened_benchmarks import ReadsBenchmarks, open_index
from siftline.scorers.leaks.suspicions import suspicions
from siftline.scorers.tables import table_of

_LEAK = [
    ("share", pa.float64()),
    ("item", pa.string()),
    ("text", pa.string()),
    ("passage", pa.string()),
]
CONTAMINATION = pa.schema(
    [
        ("content_hash", pa.string()),
        ("tier", pa.string()),
        *_LEAK,
        *[(f"template_{name}", kind) for name, kind in _LEAK],
        ("control", pa.float64()),
    ]
)


class Contamination(ReadsBenchmarks, Scorer):
    """The strongest evidence of each conversation, in the table `contamination`.

    Score columns:
        tier: `options`, `exact` or `ngram`, the strongest that there is; null for none.
        share: 1, or that of the n-grams: the smaller of the share of all and of the rare ones.
        item: which, as in `gsm8k#12`; `gsm8k#12 answer` where the answer is what is there.
        text: the benchmark's.
        passage: of the conversation, where most of it stands.
        template_share, template_item, template_text, template_passage: of a text that is there with
            other numbers: 1 where it is whole, or the share of its n-grams, numbers aside.
        control: the share of a recombined text, as `share` is made.

    Attributes:
        common: Numbers of the n-grams that are no evidence: they are common in the data.
    """

    table: ClassVar[str] = "contamination"
    revision: ClassVar[int] = 3

    common: tuple[int, ...] = ()

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Compare each row with what it may hold, word by word.

        Raises:
            InputError: A benchmark cannot be read, or lacks a field.
        """
        index = open_index(self.benchmarks, runtime.base, self.ngram_words)
        given = conversation_texts(rows)
        suspected = suspicions(index, given, len(rows), self.common)
        texts: list[list[str]] = [[] for _ in range(len(rows))]
        for row, text in zip(given.rows.tolist(), given.texts.to_pylist(), strict=True):
            texts[row].append(text)
        records: list[tuple[Any, ...]] = []
        for key, said, of_row in zip(
            rows["content_hash"].to_pylist(), texts, suspected, strict=True
        ):
            conversation = Conversation(said, self.ngram_words)
            leak = leak_in(conversation, index, of_row)
            template = template_in(conversation, index, of_row)
            found = (*(leak or [None] * 5), *(template[1:] if template else [None] * 4))
            records.append((key, *found, of_row.control))
            progress.advance(1)
        return Scored(table_of(records, CONTAMINATION))
