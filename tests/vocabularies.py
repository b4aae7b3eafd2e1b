"""Tiny tokenizers of the kinds that checkpoints are published with, trained on a few sentences."""

import json
from collections.abc import Callable
from functools import cache

import transformers as tf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

MARK = "\N{LOWER ONE EIGHTH BLOCK}"
# what the vocabularies are learned from: no piece is longer than one of these
LEARNED = [
    "",
    "I",
    "see",
    "a",
    "cat",
    "here",
    "the",
    "photo",
    "shows",
    "one",
    "dog",
    "and",
    "giraffe",
    "he",
    "said",
    "then",
    "is",
    "in",
    "there",
    "are",
    "giraffes",
    "un",
    "grand",
    "Cat",
    "Dog",
    "brown",
    "black",
    "猫",
    "这",
    "是",
][1:]
LEARNED = [f" {word}" for word in LEARNED] + [
    "cat",
    "dog",
    "Cat",
    "猫",
    "狗",
    "这",
    "是",
    "一",
    "只",
    "在",
    "院",
    "子",
    "里",
    "桌",
    "上",
    "นี่",
    "คือ",
    "แมว",
    "ここ",
    "に",
    "が",
    "います",
    "猫",
    "42",
    "1999",
    ".",
    ",",
    "。",
]
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
# how Tekken and Llama 3 cut a text before anything is merged
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _trained(tokenizer: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    tokenizer.train_from_iterator(LEARNED * 8, trainer)
    return tokenizer


def _learned(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


@cache
def _marked() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and merges of a SentencePiece BPE: words with a mark before them, bytes for
    what is unknown, and two marks for two spaces.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False)
    vocabulary, merges = _learned(_trained(tokenizer, trainer))
    for piece in (MARK * 2, *BYTES):
        vocabulary.setdefault(piece, len(vocabulary))
    return vocabulary, [*merges, (MARK, MARK)]


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )


def _llama_2() -> PreTrainedTokenizerFast:
    """As in the tokenizer.json of LLaVA 1.5: a mark is put before every text, spaces too."""
    vocabulary, merges = _marked()
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return _fast(tokenizer)


def _metaspace(scheme: str) -> PreTrainedTokenizerFast:
    vocabulary, merges = _marked()
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _fast(tokenizer)


def _unigram() -> PreTrainedTokenizerFast:
    """As XLM-R's, which KOSMOS-2 has: NFKC, which turns a line's end into a space."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(MARK, prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=220, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    return _fast(_trained(tokenizer, trainer))


def _bytes(pre_tokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(tokenizer, trainer)


def _gpt_2(prefix: bool = False) -> PreTrainedTokenizerFast:
    return _fast(_bytes(pre_tokenizers.ByteLevel(add_prefix_space=prefix)))


@cache
def _tekken() -> PreTrainedTokenizerFast:
    return _fast(
        _bytes(
            pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(WORDS), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        )
    )


def _qwen_2() -> PreTrainedTokenizerFast:
    vocabulary, merges = _learned(_tekken().backend_tokenizer)
    return tf.Qwen2Tokenizer(vocab=vocabulary, merges=merges, unk_token="<unk>")


def _gemma() -> PreTrainedTokenizerFast:
    vocabulary, merges = _marked()
    marks = ("<bos>", "<eos>", "<mask>")
    vocabulary = vocabulary | {
        name: number for number, name in enumerate(marks, start=len(vocabulary))
    }
    return tf.GemmaTokenizer(vocab=vocabulary, merges=merges)


def _llama(**named) -> PreTrainedTokenizerFast:
    vocabulary, merges = _marked()
    return tf.LlamaTokenizer(vocab=dict(vocabulary), merges=merges, **named)


def _bert() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[UNK]", "[PAD]"], show_progress=False
    )
    learned = _trained(tokenizer, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=learned, unk_token="[UNK]", pad_token="[PAD]")


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "Llama 2, a mark before every text": _llama_2,
    "LlamaTokenizer": _llama,
    "LlamaTokenizer, legacy": lambda: _llama(legacy=True),
    "LlamaTokenizer, no prefix": lambda: _llama(add_prefix_space=False),
    "Metaspace, first": lambda: _metaspace("first"),
    "Metaspace, always": lambda: _metaspace("always"),
    "Metaspace, never": lambda: _metaspace("never"),
    "Unigram": _unigram,
    "Gemma": _gemma,
    "GPT-2": _gpt_2,
    "GPT-2, prefix": lambda: _gpt_2(prefix=True),
    "Qwen2": _qwen_2,
    "Tekken": _tekken,
    "WordPiece": _bert,
}
