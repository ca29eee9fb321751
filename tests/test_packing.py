from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siftline.models.engine.packing import Prefix, Span, Unit, pack, plan_packs, split
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
    assert found.spans == (Span(0, 16), Span(16, 2), Span(18, 1), Span(19, 2))
    assert found.prefixes == (Prefix(0, 16, 19, 0),)
    # Both first tokens are predicted from the end of the prompt.
    assert found.rows == ((0, 3), (2, 2), (1, 1))
    assert found.sources.tolist() == [15, 16, 17, 15, 18, 20]
    assert bytes(found.targets.tolist()).decode() == "abecdz"


def test_a_system_prompt_is_computed_once_for_all_prompts_behind_it() -> None:
    system, asked = "s" * 30, {letter: letter * 20 for letter in "qr"}
    rows = [row(system + asked[each], end) for each in "qr" for end in ("a.", "b.")]
    rows.append(row(system + "t", "c."))
    (found,) = laid_out(rows, 200)
    assert bytes(found.ids.tolist()).decode() == system + asked["q"] + "ab" + asked["r"] + "abtc"
    assert found.prefixes == (
        Prefix(0, 30, 76, 0),
        Prefix(30, 20, 52, 1),
        Prefix(52, 20, 74, 1),
    )


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
    assert [prefix.length for prefix in found.prefixes] == [20, 20]


def test_a_large_group_is_parted_by_the_budget() -> None:
    rows = [row("p" * 20, letter * 11) for letter in "abcde"]
    packs = laid_out(rows, 40)
    assert [len(each.ids) for each in packs] == [60, 30]  # the prompt does not count


def test_what_does_not_fit_is_cut_in_two_until_it_is_a_single_row() -> None:
    rows = [row("p" * 20, letter + "e") for letter in "abc"]
    (batch,) = plan_packs(rows, 100).batches
    first, second = split(batch)
    assert [unit.tokens for unit in (*first, *second)] == [22, 21]
    assert split(second) == [second]


def test_a_branch_stays_together_as_far_as_the_budget_allows() -> None:
    system = "s" * 30
    rows = [row(system + each * 20, end * 11) for each in "qr" for end in "ab"]
    packs = laid_out(rows, 75)
    # Both prompts with two responses of ten are 30 + 2 * 40; one of them is 30 + 40, and the prefix
    # is not told apart from the prompt where there is only one.
    assert [len(each.ids) for each in packs] == [70, 70]
    assert [each.prefixes for each in packs] == [(Prefix(0, 50, 70, 0),)] * 2
    # The prefixes of a pack that is smaller still do not count.
    assert [len(each.ids) for each in laid_out(rows, 25)] == [70, 70]
    assert [len(each.ids) for each in laid_out(rows, 12)] == [60] * 4


def test_a_batch_is_cut_where_its_parts_are_about_as_large() -> None:
    units = [Unit(0, (number,), size, size) for number, size in enumerate((50, 20, 10, 10, 10))]
    assert [[unit.tokens for unit in part] for part in split(units)] == [[50], [20, 10, 10, 10]]


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
        # Beyond the budget there is one row, or prefixes with what fits without them.
        most = max(each.positions) + 1
        assert len(each.ids) <= budget + (most if each.prefixes else 0) or len(each.spans) == 1
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


@given(
    st.lists(st.builds(row, letters, letters), min_size=1, max_size=20),
    st.integers(1, 100),
)
def test_halves_of_a_batch_hold_its_rows(rows: list[Encoded], budget: int) -> None:
    plan = plan_packs(rows, budget)
    waiting = list(plan.batches)
    while waiting:
        batch = waiting.pop()
        parts = split(batch)
        held = [sorted(row for unit in part for row in unit.rows) for part in (batch, *parts)]
        assert held[0] == sorted(row for part in held[1:] for row in part)
        assert (len(parts) == 1) == (len(held[0]) == 1)
        for part in parts:
            laid = pack(part, rows, plan.riders)
            assert len(laid.ids) == sum(unit.tokens for unit in part)
        waiting += parts if len(parts) > 1 else []


def _visible(found: Any) -> dict[int, list[int]]:
    """Places that each place attends to, itself included."""
    seen: dict[int, list[int]] = {place: [] for place in range(len(found.ids))}
    for prefix in found.prefixes:
        for place in range(prefix.start + prefix.length, prefix.stop):
            assert len([p for p in found.prefixes if p.start < place < p.stop]) > prefix.level
            seen[place] += range(prefix.start, prefix.start + prefix.length)
    covered = []
    for span in found.spans:
        for place in range(span.start, span.start + span.length):
            covered.append(place)
            seen[place] += range(span.start, place + 1)
    assert covered == list(range(len(found.ids)))
    return seen
