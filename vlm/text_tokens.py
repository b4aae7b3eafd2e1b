"""TT: the prompt around the image as tokens and their embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vlm.errors import QuestionError


@dataclass(frozen=True)
class TextTokens:
    """TT, the T text tokens of the prompt (template and question) in order.

    Attributes:
        token_ids: rows of the vocabulary.
        token_strings: what each token reads as; a leading space is part of it.
        embeddings: the language model's input embeddings of `token_ids`.
        positions: where each stands in the fused sequence.
    """

    token_ids: Int[np.ndarray, "T"]
    token_strings: tuple[str, ...]
    embeddings: Float[np.ndarray, "T D"]
    positions: Int[np.ndarray, "T"]


def token_string(tokenizer, token_id: int) -> str:
    """What one token reads as on its own.

    A token that holds only a part of a character is shown by its vocabulary entry.

    Many models have a few more rows in their embedding than their tokenizer has entries: those are
    shown by their number.
    """
    entry = tokenizer.convert_ids_to_tokens(token_id)
    if entry is None:
        return f"<{token_id}>"
    text = tokenizer.decode(
        [token_id], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    if "\N{REPLACEMENT CHARACTER}" in text:
        return entry
    # SentencePiece's mark of a space
    if entry.startswith("\N{LOWER ONE EIGHTH BLOCK}") and not text.startswith(" "):
        return " " + text
    return text


def check_characters(text: str, what: str) -> str:
    """The text.

    Raises:
        QuestionError: it holds a lone surrogate, the half of a character, which cannot be written
            as UTF-8; a program can send one.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise QuestionError(
            f"{what} holds half a character (a lone surrogate), which is no text; leave it out."
        )
    return text


def check_question(question: str | object, control_tokens: Sequence[str]) -> str:
    """The question without surrounding space.

    Raises:
        QuestionError: it is empty, holds half a character, or a control token, which the tokenizer
            would not read as text.
    """
    if not isinstance(question, str):
        raise QuestionError(f"The question is a {type(question).__name__} and no text; type one.")
    question = check_characters(question, "The question").strip()
    if not question:
        raise QuestionError("The question is empty; type one, for example: What is in this image?")
    for token in control_tokens:
        if token in question:
            raise QuestionError(
                f"The question holds {token!r}, which is a control token of this model and not"
                " text; leave it out."
            )
    return question
