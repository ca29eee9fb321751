"""The tree of common beginnings, and which of them are worth computing once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftline.models.engine import prefixes
from siftline.models.engine.prefixes import Branch, tree


def tree_of(texts: list[str]) -> list[Branch]:
    texts.sort()
    return tree(range(len(texts)), [tuple(text.encode()) for text in texts])


def shape(branches: list[Branch]) -> list[object]:
    """Lengths of shared beginnings, each with what goes on from it; rows by number."""
    return [(each.depth, shape(each.twigs)) if each.twigs else each.row for each in branches]


def tokens(branches: list[Branch], depth: int = 0) -> int:
    return sum(each.depth - depth + each.below for each in branches)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever saves a token is shared."""
    monkeypatch.setattr(prefixes, "_MIN_SAVING", 1)
    monkeypatch.setattr(prefixes, "_MIN_SAVING_SHARE", 0)


@pytest.mark.usefixtures("cheap")
def test_a_tree_by_hand() -> None:
    texts = ["abcdef1", "abcdef2", "abcx", "abcy", "az", "q"]
    found = tree_of(texts)
    assert shape(found) == [(1, [(3, [(6, [0, 1]), 2, 3]), 4]), 5]
    assert tokens(found) == len("a" + "bc" + "def" + "12" + "xy" + "z" + "q")


def test_what_saves_too_little_hangs_from_the_beginning_before() -> None:
    system = "s" * 40
    # Two of the prompts share a letter more: that is one token saved.
    texts = [system + "a" + "b" * 20, system + "a" + "c" * 20, system + "d" * 20]
    assert shape(tree_of(texts)) == [(40, [0, 1, 2])]
    # Twenty tokens are saved, of six hundred that would attend once more.
    long = ["t" * 20 + letter * 300 for letter in "ab"]
    assert shape(tree_of(long)) == [0, 1]
    assert shape(tree_of([each[:80] for each in long])) == [(20, [0, 1])]


def test_a_few_levels_are_kept_that_save_the_most() -> None:
    # Beginnings within beginnings, with eight rows that end in each.
    texts, beginning = [], ""
    for level, size in enumerate([90, 40, 200, 40, 40, 60]):
        beginning += chr(97 + level) * size
        texts += [beginning + end for end in "stuvwxyz"]
    (found,) = tree_of(texts)
    depths = []
    while found.twigs:
        depths.append(found.depth)
        found = max(found.twigs, key=lambda twig: twig.levels)
    assert len(depths) == 4
    assert {90, 330} < set(depths)


letters = st.text("ab", min_size=1, max_size=12)


@given(st.lists(letters, min_size=1, max_size=30, unique=True))
def test_a_tree_holds_every_row_once_and_shares_what_it_says(texts: list[str]) -> None:
    texts = [text + "$" for text in texts]  # none is the beginning of another
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "_MIN_SAVING", 1)
        patch.setattr(prefixes, "_MIN_SAVING_SHARE", 0)
        patch.setattr(prefixes, "_MOST_LEVELS", 99)
        found = tree_of(texts)
        patch.setattr(prefixes, "_MOST_LEVELS", 2)
        flat = tree_of(texts)
    # Without a price, every distinct beginning is computed once.
    assert tokens(found) == len({text[:end] for text in texts for end in range(1, len(text) + 1)})
    assert tokens(found) <= tokens(flat) <= sum(map(len, texts))
    for branches in (found, flat, tree_of(texts)):
        assert sorted(_check(branches, texts)) == list(range(len(texts)))
    assert max(each.levels for each in flat) <= 2


def _check(branches: list[Branch], texts: list[str]) -> list[int]:
    """Return the rows, after a look at what they are said to share."""
    rows = []
    for branch in branches:
        own = _check(branch.twigs, texts) if branch.twigs else [branch.row]
        assert len({texts[row][: branch.depth] for row in own}) == 1
        assert branch.row in own
        assert branch.twigs or branch.depth == len(texts[branch.row])
        assert branch.below == tokens(branch.twigs, branch.depth)
        assert len(branch.twigs) != 1
        rows += own
    return rows
