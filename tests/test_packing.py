from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftline.models.engine.packing import Group, Span, pack, plan_packs, split
from siftline.models.engine.prefixes import families
from siftline.models.likelihood import Encoded


def row(prompt: str, response: str) -> Encoded:
    return Encoded(tuple((prompt + response).encode()), len(prompt), len(response), False)


def laid_out(rows: list[Encoded], budget: int, share: bool = True) -> list[Any]:
    plan = plan_packs(rows, budget, share)
    return [pack(batch, rows, plan.riders) for batch in plan.batches]


def test_a_pack_by_hand() -> None:
    prompt = "p" * 16
    rows = [row(prompt, "abe"), row("xy", "z"), row(prompt, "cd")]
    (found,) = laid_out(rows, 100)
    # The shared prompt, its responses from long to short, then the row that shares nothing; all
    # without their last tokens.
    assert bytes(found.ids.tolist()).decode() == prompt + "abcxy"
    assert found.positions.tolist() == [*range(16), 16, 17, 16, 0, 1]
    shared = Span(0, 16)
    assert set(found.groups) == {
        Group(shared, (Span(16, 2), Span(18, 1))),
        Group(None, (shared, Span(19, 2))),
    }
    # Both first tokens are predicted from the end of the prompt.
    assert found.rows == ((0, 3), (2, 2), (1, 1))
    assert found.sources.tolist() == [15, 16, 17, 15, 18, 20]
    assert bytes(found.targets.tolist()).decode() == "abecdz"


def test_a_short_prompt_is_not_worth_sharing() -> None:
    (found,) = laid_out([row("pp", "ab"), row("pp", "cd")], 100)
    assert len(found.ids) == 6


def test_an_earlier_turn_rides_on_a_later_one() -> None:
    rows = [row("question", "answer"), row("questionanswerquestion", "no"), row("question", "why")]
    (found,) = laid_out(rows, 100)
    assert len(found.ids) == len("questionanswerquestionn") + len("questionwh")
    assert len(found.rows) == 3


def test_other_one_token_responses_to_a_prompt_cost_nothing() -> None:
    (found,) = laid_out([row("prompt", letter) for letter in "abc"], 100)
    assert len(found.ids) == len("prompt")
    assert found.sources.tolist() == [5, 5, 5]
    assert sorted(bytes(found.targets.tolist()).decode()) == ["a", "b", "c"]


def test_two_questions_about_one_text_read_it_once() -> None:
    asked = [row(text * 20 + ask, "A") for text in "tu" for ask in ("sure?", "really?")]
    lone = row("l" * 30, "A")
    (found,) = laid_out([asked[0], lone, *asked[1:]], 200)
    assert len(found.ids) == 2 * (20 + len("sure?really?")) + 30
    assert sorted(group.prefix.length for group in found.groups if group.prefix) == [20, 20]


def test_families_of_rows_by_hand() -> None:
    texts = ["abcdef1", "abcdef2", "abcx", "abcy", "az", "q"]
    order = [tuple(text.encode()) for text in texts]
    # `abcx` and `abcy` share less with each other than the two before share, and `az` less still:
    # four that share `abc` save 9, the two pairs 6 + 3.
    found = {(prefix, *rows) for prefix, rows in families(range(6), order)}
    assert found == {(3, 0, 1, 2, 3), (0, 4), (0, 5)}
    # The first two share most with each other, the others what is left: the two letters before.
    deeper = [tuple(text.encode()) for text in ("abcdefgh1", "abcdefgh2", "abcx", "abdy", "abz")]
    found = {(prefix, *rows) for prefix, rows in families(range(5), deeper)}
    assert found == {(8, 0, 1), (2, 2, 3, 4)}


@given(st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=30, unique=True))
def test_families_part_the_rows_and_share_what_they_say(texts: list[str]) -> None:
    texts.sort()
    order = [tuple(text.encode()) for text in texts]
    found = families(range(len(order)), order)
    assert sorted(row for family in found for row in family.rows) == list(range(len(order)))
    for prefix, rows in found:
        assert len({order[row][:prefix] for row in rows}) == 1
    saved = sum(family.saving for family in found)
    alike = next((n for n, each in enumerate(zip(*texts, strict=False)) if len(set(each)) > 1), 0)
    assert saved >= (len(order) - 1) * alike


def test_a_large_group_is_parted_by_the_budget() -> None:
    rows = [row("p" * 20, letter * 11) for letter in "abcde"]
    packs = laid_out(rows, 40)
    assert [len(each.ids) for each in packs] == [60, 30]  # the prompt does not count


def test_what_does_not_fit_is_cut_in_two_until_it_is_a_single_row() -> None:
    rows = [row("p" * 20, letter + "e") for letter in "abc"]
    (batch,) = plan_packs(rows, 100).batches
    first, second = split(batch, rows)
    assert [unit.tokens for unit in (*first, *second)] == [22, 21]
    assert split(second, rows) == [second]


letters = st.text("ab", min_size=1, max_size=30)


@given(
    st.lists(st.builds(row, letters, letters), min_size=1, max_size=20),
    st.integers(1, 100),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_every_pack_says_the_truth_about_its_rows(
    rows: list[Encoded], budget: int, share: bool, random: Any
) -> None:
    packs = laid_out(rows, budget, share)
    scored = [number for each in packs for number, _ in each.rows]
    assert sorted(scored) == list(range(len(rows)))
    for each in packs:
        alone = len(each.groups) == 1 and len(each.groups[0].spans) == 1
        prompts = {group.prefix for group in each.groups if group.prefix}
        single = len(prompts) == 1
        extra = sum(prompt.length for prompt in prompts) if single else 0
        assert len(each.ids) <= budget + extra or alone
        seen = _visible(each)
        ends = np.cumsum([count for _, count in each.rows])[:-1]
        sources, targets = np.split(each.sources, ends), np.split(each.targets, ends)
        for (number, count), places, wanted in zip(each.rows, sources, targets, strict=True):
            ids, start = rows[number].ids, rows[number].prompt_tokens
            assert count == len(ids) - start
            assert wanted.tolist() == list(ids[start:])
            # What a place sees is the beginning of its row, each token at its position.
            for offset, place in enumerate(places):
                context = seen[place]
                assert each.ids[context].tolist() == list(ids[: start + offset])
                assert each.positions[context].tolist() == list(range(start + offset))
    order = list(range(len(rows)))
    random.shuffle(order)
    turned = laid_out([rows[number] for number in order], budget, share)
    assert [each.ids.tolist() for each in turned] == [each.ids.tolist() for each in packs]


def _visible(found: Any) -> dict[int, list[int]]:
    """Places that each place attends to, itself included."""
    seen = {}
    for group in found.groups:
        prefix = group.prefix
        before = list(range(prefix.start, prefix.start + prefix.length)) if prefix else []
        for span in group.spans:
            for place in range(span.start, span.start + span.length):
                assert place not in seen
                seen[place] = [*before, *range(span.start, place + 1)]
    assert sorted(seen) == list(range(len(found.ids)))
    return seen
