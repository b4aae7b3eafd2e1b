"""TT: the prompt around the image as tokens and their embeddings; and which tokens a word is.

A word is the tokens that it has inside a sentence. Alone it may be others: some tokenizers put a
space before every text, some make a token of a lone space, and some keep a space for itself before
digits or before writing that has none.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vlm.errors import QuestionError

SHORTEST = 4  # letters of a piece of a word that says something alone
# what may stand before a word: another word, a line's end, a bracket, a comma of Chinese
SPACED, LINE, BRACKET, COMMA = "a ", "a\n", "a (", "a\N{FULLWIDTH COMMA}"
# the beginning of what Unicode calls the letters of writing without spaces between words
UNSPACED = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "BOPOMOFO",
    "IDEOGRAPHIC",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
)
OPENING, CLOSING = '"([{“”„«‹‘¿¡「『', '")]}“”»›’.,;:!?。、，」』'


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


def first_token(tokenizer, word: str) -> int:
    """The token that a word in the middle of a sentence begins with.

    Raises:
        QuestionError: there is no word, or the tokenizer does not know how it begins.
    """
    word = bare(word)
    before = (COMMA, LINE, SPACED) if is_unspaced(word) else (SPACED, LINE, BRACKET)
    found = (tokens_after(tokenizer, context, word) for context in (*before, ""))
    first = next((ids[0] for ids in found if ids), None)
    if first in (None, _unknown(tokenizer)):
        raise QuestionError(f"This model's tokenizer does not know {word!r}; take another word.")
    return first


def word_ids(tokenizer, word: str) -> tuple[int, ...]:
    """The vocabulary entries with which a word (the last of several) can begin: in a sentence, on a
    new line, in brackets, at the start of a text, with a capital. Whole words, or pieces of at
    least four letters.

    Raises:
        QuestionError: there is no word, or this tokenizer cuts it into smaller pieces.
    """
    word = bare(bare(word).split()[-1])
    first = first_token(tokenizer, word)
    spelt = dict.fromkeys((word, word.lower(), word.capitalize()))
    found = (
        tokens_after(tokenizer, context, form)
        for form in spelt
        for context in (SPACED, LINE, BRACKET, COMMA, "")
    )
    pieces = {
        number: token_string(tokenizer, number).strip()
        for number in dict.fromkeys([first, *(ids[0] for ids in found if ids)])
    }
    telling = tuple(
        number
        for number, piece in pieces.items()
        if number != _unknown(tokenizer)
        and (piece.lower() == word.lower() or len(piece) >= SHORTEST)
    )
    if not telling:
        raise QuestionError(
            f"This model's tokenizer begins {word!r} with a piece of fewer than {SHORTEST} letters,"
            " which says nothing alone; take another word."
        )
    return telling


def word_beginnings(tokenizer, word: str) -> tuple[str, ...]:
    """What `word_ids` counts for a word: it, and where the tokenizer cuts it, its first piece,
    which other words may begin with too.

    Raises:
        QuestionError: as `word_ids`.
    """
    pieces = (token_string(tokenizer, number).strip() for number in word_ids(tokenizer, word))
    return tuple(dict.fromkeys(pieces))


def tokens_after(tokenizer, context: str, word: str) -> tuple[int, ...]:
    """The tokens of a word as it stands after some text, without lone spaces before it; none where
    the tokenizer joins the two.
    """
    before, whole = (
        list(tokenizer(text, add_special_tokens=False)["input_ids"])
        for text in (context.rstrip(" "), context + word)
    )
    if whole[: len(before)] != before:
        return ()
    ids = whole[len(before) :]
    while ids and not token_string(tokenizer, ids[0]).strip():
        ids = ids[1:]
    return tuple(ids)


def bare(word: str) -> str:
    """The word without the space, quotation marks, brackets and stops around it.

    Raises:
        QuestionError: there is no word.
    """
    word = check_characters(word, "The word").strip()
    if not word:
        raise QuestionError("There is no word to look for; type one, for example: cat")
    inner = word.lstrip(OPENING).rstrip(CLOSING).strip()
    return inner if any(letter.isalnum() for letter in inner) else word


def is_unspaced(word: str) -> bool:
    """Whether a word is written without a space before it, inside a sentence."""
    return unicodedata.name(word[0], "").startswith(UNSPACED)


def _unknown(tokenizer) -> int | None:
    """The entry that stands for all that has none."""
    return getattr(tokenizer, "unk_token_id", None)
