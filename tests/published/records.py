"""What a checkpoint publishes, as data: one record a checkpoint, one a contrastive pair.

Facts, not files: sizes, tiles, activations, caps, scales, kinds of tokenizers, the shape of chat
templates, end tokens, defaults of `generate`. Each record says where they stand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Source:
    """Where some of the settings of a checkpoint stand.

    Attributes:
        settings: which ones, in words.
        place: a repository and a file in it, or the class of transformers whose default they are.
        is_read: they were read there; False: they were inferred from what is there, and are not
            verified.
    """

    settings: str
    place: str
    is_read: bool = True


@dataclass(frozen=True)
class Tokenizer:
    """A kind of tokenizer with its control tokens.

    Attributes:
        kind: "byte-level": BPE of bytes, a space belongs to the word after it (GPT-2's, Qwen's).
            "prefix mark": sentencepiece's BPE that puts a space mark before every text, so that a
            text with a space before it begins with a lone one (Llama 2's). "mark": the same without
            that prefix (Gemma's). "cohere": byte-level, every digit alone. "unigram":
            sentencepiece's unigram model with a prefix mark (XLM-RoBERTa's).
        control: its control tokens in the order of their ids.
        begin: the token that begins a text; None where there is none.
        end: the token that ends one.
        pad: the one that fills up.
        puts_begin: the tokenizer puts `begin` before every text itself.
        added: control tokens whose ids follow the vocabulary.
        named: those which the processor asks for by name.
    """

    kind: Literal["byte-level", "prefix mark", "mark", "cohere", "unigram"]
    control: tuple[str, ...]
    end: str
    pad: str
    begin: str | None = None
    puts_begin: bool = False
    added: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chat:
    """The shape of a chat template, for a question of a user about photos.

    Attributes:
        begin: what stands before everything.
        system: the turn that is written where nobody wrote a system turn.
        user: what stands before the user's content.
        photo: what stands for each photo.
        before_text: what precedes the text.
        after_text: what follows it.
        close: what ends the user's turn.
        answer: what the answer follows.
        photos_first: all photos come before all text, in whichever order they are given.
        takes_strings: content may also be a string instead of a list of parts.
        trims: text is stripped.
    """

    user: str
    photo: str
    close: str
    answer: str
    begin: str = ""
    system: str = ""
    before_text: str = ""
    after_text: str = ""
    photos_first: bool = False
    takes_strings: bool = False
    trims: bool = False


@dataclass(frozen=True)
class Published:
    """One checkpoint. Settings bear transformers' own names.

    Attributes:
        checkpoint: OWNER/NAME on the hub.
        kind: the `model_type` of its configuration.
        sources: where the settings stand.
        tokenizer: its kind and control tokens.
        chat: its chat template; None where it has none.
        model: settings of the configuration beside those of its parts.
        vision: those of the encoder, widths and depths left out unless something counts on them.
        text: those of the language model, likewise.
        spare: how many more entries the embedding has than the tokenizer; below zero: the ids of so
            many tokens have none.
        tokens: settings of the configuration that hold the id of a token; "text_end": the end token
            that the language model's own configuration names, where it is another one.
        processor: the processor's class and settings.
        images: the image processor's class and settings.
        generation: what `generation_config` holds beside end and filling tokens.
        ends: the tokens that end an answer there.
        photo: height and width of a photo that at least one picture shows without resampling.
        scaled: what is smaller than published although its size counts, and why.
    """

    checkpoint: str
    kind: str
    sources: tuple[Source, ...]
    tokenizer: Tokenizer
    chat: Chat | None
    vision: Settings
    text: Settings
    processor: tuple[str, Settings]
    images: tuple[str, Settings]
    ends: tuple[str, ...]
    photo: tuple[int, int]
    model: Settings = field(default_factory=dict)
    spare: int = 0
    tokens: Mapping[str, str] = field(default_factory=dict)
    generation: Settings = field(default_factory=dict)
    scaled: str = ""


@dataclass(frozen=True)
class PublishedPair:
    """A contrastive pair of open_clip, by the configuration of its name and of its tag.

    Attributes:
        name: open_clip's name of the architecture.
        tag: of the weights.
        sources: where the settings stand.
        side: of what the image tower receives, in pixels.
        patch: of its patches; None where it has none.
        quick_gelu: its activation is QuickGELU.
        resize: how a photo becomes a square: "shortest" (and centre crop) or "squash".
        mean: what the pixels are shifted by.
        std: what they are divided by.
        bias: the first bias of a pair trained with the sigmoid loss; None for the others.
        context: the longest text, in tokens.
        tokenizer: "clip": open_clip's own; else the kind of transformers' tokenizer.
    """

    name: str
    tag: str
    sources: tuple[Source, ...]
    side: int
    patch: int | None
    quick_gelu: bool
    resize: Literal["shortest", "squash"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bias: float | None = None
    context: int = 77
    tokenizer: Literal["clip", "unigram", "mark"] = "clip"
