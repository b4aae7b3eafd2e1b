"""Tiny tokenizers of every kind, of transformers' own classes, with control tokens as published."""

import json

from tests.published.records import Tokenizer
from tests.tiny import tiny_tokenizer

SENTENCES = [
    "user assistant system model a photo of a cat and a dog on the grass. What is in this image?",
    "You are a helpful assistant. Question: what is the cat doing in this picture? Answer:",
] * 4
LETTERS = [chr(number) for number in range(33, 127)]
VOCABULARY = 300  # beside control tokens and bytes


def make_tokenizer(given: Tokenizer):
    """A tokenizer of this kind, trained on two sentences, which writes every string it is given."""
    from vlm.backends.compat import ensure_torchvision

    ensure_torchvision()
    import transformers as tf

    named = {
        "bos_token": given.begin,
        "eos_token": given.end,
        "pad_token": given.pad,
        "extra_special_tokens": dict(given.named),
    }
    if given.kind == "byte-level":
        tokenizer = tiny_tokenizer(512, given.control)._tokenizer
        made = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    elif given.kind == "cohere":
        model = json.loads(tiny_tokenizer(512, given.control)._tokenizer.to_str())["model"]
        made = tf.CohereTokenizer(vocab=model["vocab"], merges=_pairs(model), **named)
    elif given.kind == "unigram":
        made = tf.XLMRobertaTokenizer(vocab=_unigram(given.control), **named)
    else:
        model = _sentencepiece(given.control)
        kind = tf.LlamaTokenizer if given.kind == "prefix mark" else tf.GemmaTokenizer
        # what a published Llama tokenizer says of itself
        more = {"legacy": False} if given.kind == "prefix mark" else {}
        made = kind(vocab=model["vocab"], merges=_pairs(model), **named, **more)
    usual = {given.begin, given.end, given.pad}
    others = [token for token in (*given.control, *given.added) if token not in usual]
    made.add_special_tokens({"additional_special_tokens": others})
    if given.kind != "unigram":  # which has its own way of beginning and ending a text
        _begin_with(made, given.begin if given.puts_begin else None)
    return made


def bert_tokenizer():
    """The tokenizer of a Q-Former that reads questions, with one more token than BERT's."""
    import transformers as tf

    words = sorted({word for line in SENTENCES for word in line.lower().split()})
    control = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = [*control, *LETTERS, *(f"##{letter}" for letter in LETTERS), *words]
    tokenizer = tf.BertTokenizer(
        vocab={entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    )
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    return tokenizer


def _pairs(model: dict) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in model["merges"]]


def _sentencepiece(control: tuple[str, ...]) -> dict:
    """A BPE model of pieces that begin with a space mark, with a token for every byte."""
    from tokenizers import Tokenizer as Trained
    from tokenizers import models, pre_tokenizers, trainers

    trained = Trained(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=len(control) + 256 + VOCABULARY,
        special_tokens=[*control, *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=[*LETTERS, "▁"],
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES, trainer)
    return json.loads(trained.to_str())["model"]


def _unigram(control: tuple[str, ...]) -> list[tuple[str, float]]:
    """A unigram model: control tokens, then pieces with their log-probabilities."""
    from tokenizers import Tokenizer as Trained
    from tokenizers import models, pre_tokenizers, trainers

    trained = Trained(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=[*LETTERS, "▁"],
        unk_token="<unk>",
        special_tokens=list(control),
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES, trainer)
    pieces = json.loads(trained.to_str())["model"]["vocab"]
    learned = [(piece, score) for piece, score in pieces if piece not in control]
    return [*((token, 0.0) for token in control), *learned]


def _begin_with(tokenizer, begin: str | None) -> None:
    """Have the tokenizer put this token before every text, or none."""
    from tokenizers import processors

    if hasattr(tokenizer, "add_bos_token"):
        tokenizer.add_bos_token, tokenizer.add_eos_token = begin is not None, False
        return
    if begin is not None:
        tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
            single=[begin, "$A"],
            pair=[begin, "$A", begin, "$B"],
            special_tokens=[(begin, tokenizer.convert_tokens_to_ids(begin))],
        )


def siglip_tokenizer(kind: str):
    """SigLIP's (T5's, "unigram") or SigLIP 2's (Gemma's, "mark")."""
    import transformers as tf

    if kind == "unigram":
        control = ("<pad>", "</s>", "<unk>")
        return tf.T5Tokenizer(vocab=_unigram(control), extra_ids=0)
    control = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    model = _sentencepiece(control)
    sides = {"padding_side": "right", "add_bos_token": False, "add_eos_token": True}
    return tf.GemmaTokenizer(vocab=model["vocab"], merges=_pairs(model), **sides)
