"""Prompts and responses as tokens, with the boundary between the two."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from siftline.contracts.errors import ModelError
from siftline.models.likelihood import (
    EMPTY_RESPONSE,
    TOKENIZER_ERROR,
    Encoded,
    Pair,
    ResponseLikelihood,
    fit,
)
from siftline.models.rendering import Prompt

if TYPE_CHECKING:  # an optional dependency, and slow to import
    from transformers import PreTrainedTokenizerBase


class PairTokenizer:
    """A tokenizer of `transformers`, as the scoring contract uses it.

    Attributes:
        tokenizer: The tokenizer of `transformers`.
        name: The model's name in the recipe, for messages.
        head: The special tokens that it puts before a text, such as BOS.
        special_tokens: The texts of its control tokens.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.head = _opening_tokens(tokenizer)
        self.special_tokens = _special_tokens(tokenizer)

    def encode(
        self, pairs: Sequence[Pair], window: int, score_eos: bool
    ) -> list[Encoded | ResponseLikelihood]:
        """Tokenise pairs, and find the boundary in each.

        Args:
            pairs: Prompts and responses.
            window: The most tokens of prompt and response together.
            score_eos: Whether the token that ends the response is to be scored too.

        Returns:
            One per pair: the tokens to score, or a result whose status says why there are none.

        Raises:
            ModelError: An end token is to be scored, and the tokenizer has none.
        """
        prompts = self._tokenise([pair.prompt for pair in pairs], [p.special for p in pairs])
        wholes = self._tokenise(
            [pair.prompt + pair.response for pair in pairs], [p.special for p in pairs]
        )
        results: list[Encoded | ResponseLikelihood] = []
        for pair, prompt, whole in zip(pairs, prompts, wholes, strict=True):
            if not pair.response.strip():
                results.append(ResponseLikelihood(EMPTY_RESPONSE))
            elif prompt is None or whole is None:
                results.append(ResponseLikelihood(TOKENIZER_ERROR))
            else:
                if whole[: len(prompt)] != prompt:
                    whole = self._parted(pair, prompt, whole)
                end = self._end(pair) if score_eos else None
                opened, full = (self._open(ids, pair.special) for ids in (prompt, whole))
                results.append(fit(opened, full, end, window))
        return results

    def _parted(self, pair: Pair, prompt: list[int], whole: list[int]) -> list[int]:
        """Return the tokens of prompt and response, each by itself, where they make up the text.

        They do not where a tokenizer puts a space before every text, or joins letters across the
        boundary; then the tokens of the whole are returned.
        """
        response = self._ids_or_none(pair.response, pair.special)
        parted = [*prompt, *(response or [])]
        return parted if self._text(parted) == self._text(whole) else whole

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def encode_prompts(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...] | None]:
        """Tokenise prompts that are to be continued; None where the tokenizer fails."""
        texts, special = [each.text for each in prompts], [each.special for each in prompts]
        rows = self._tokenise(texts, special)
        return [
            None if ids is None else tuple(self._open(ids, parsed))
            for ids, parsed in zip(rows, special, strict=True)
        ]

    @functools.cached_property
    def texts(self) -> list[str]:
        """The text of each token, by its number; empty for control tokens."""
        control = set(self.tokenizer.all_special_ids)
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
        return ["" if token in control else text for token, text in enumerate(texts)]

    def _open(self, ids: list[int], rendered: bool) -> list[int]:
        """Put the tokens in front that every text starts with.

        A rendered chat template writes all of them that belong there, and gets none.
        """
        return ids if rendered else [*self.head, *ids]

    def _end(self, pair: Pair) -> int:
        if pair.end is not None:
            end: Any = self.tokenizer.convert_tokens_to_ids(pair.end)  # one token, so one number
            return int(end)
        if self.tokenizer.eos_token_id is None:
            raise ModelError(
                f"The tokenizer of '{self.name}' has no end token; turn score_eos off."
            )
        return int(self.tokenizer.eos_token_id)

    def _tokenise(self, texts: list[str], special: list[bool]) -> list[list[int] | None]:
        """Tokenise texts without adding special tokens; None where the tokenizer fails."""
        tokenised: list[list[int] | None] = [None] * len(texts)
        for parse in (False, True):
            rows = [row for row, each in enumerate(special) if each == parse]
            if not rows:
                continue
            try:
                several = self._ids([texts[row] for row in rows], parse)
            except Exception:  # whatever it is, it must be pinned to its row
                several = [self._ids_or_none(texts[row], parse) for row in rows]
            for row, ids in zip(rows, several, strict=True):
                tokenised[row] = ids
        return tokenised

    def _ids(self, texts: list[str], parse: bool) -> Sequence[list[int] | None]:
        tokenised: Sequence[list[int]] = self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=not parse,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        return tokenised

    def _ids_or_none(self, text: str, parse: bool) -> list[int] | None:
        try:
            return self._ids([text], parse)[0]
        except Exception:  # becomes the status `tokenizer_error`
            return None


def _special_tokens(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, ...]:
    added = tokenizer.added_tokens_decoder.values()
    return tuple(sorted(str(token) for token in added if token.special))


def _opening_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return the special tokens that the tokenizer puts before a text, such as BOS."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    opened = tokenizer("a")["input_ids"]
    for start in range(len(opened) - len(bare) + 1):
        if opened[start : start + len(bare)] == bare:
            return list(opened[:start])
    return []
