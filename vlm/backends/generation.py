"""The settings that came with a checkpoint, in its `generation_config.json`, and what an answer
obeys of them: what transformers' own `generate` does, by its own processors and in its order.

They change which token is chosen, never what a probability, an entropy or a score says: those are
the model's own.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError
from vlm.records.trace import Decoding

ensure_torchvision()

from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteriaList,
    StopStringCriteria,
)

# names of settings, each with the value that changes nothing
OBEYED = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "sequence_bias": None,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "stop_strings": None,
}
DRAWN = {"min_p": None, "top_h": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}
SUGGESTED = {"do_sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
IGNORED = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "penalty_alpha": 0.0,
    "dola_layers": None,
    "constraints": None,
    "force_words_ids": None,
    "guidance_scale": 1.0,
    "token_healing": False,
    "watermarking_config": None,
    "max_time": None,
    "use_mtp": False,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
    "speculation_type": None,
}
# whose `generate` hands its language model vectors alone: settings then count the answer only
VECTORS_ALONE = frozenset({"blip-2", "instructblip"})


@dataclass(frozen=True)
class OwnSettings:
    """What came with a checkpoint, by transformers' names, without what changes nothing.

    Attributes:
        obeyed: in every answer; a `repetition_penalty` of `Decoding` takes the place of this one.
        drawn: only where tokens are drawn by chance, with a temperature above 0.
        suggested: for drawing; `Decoding` has these itself and is greedy by default.
        ignored: what this program does not do.
    """

    obeyed: Mapping[str, Any]
    drawn: Mapping[str, Any]
    suggested: Mapping[str, Any]
    ignored: Mapping[str, Any]


@dataclass(frozen=True)
class Rules:
    """What chooses the tokens of one answer.

    Attributes:
        counted: the tokens before the answer that settings count, as `generate` has them.
        processors: what changes the logits before a token is chosen.
        stops: what ends an answer beside an end token.
        end_ids: tokens that end an answer.
    """

    counted: Int[Tensor, " S"]
    processors: LogitsProcessorList
    stops: StoppingCriteriaList
    end_ids: frozenset[int]

    def scores(
        self, sequence: Int[Tensor, "1 positions"], logits: Float[Tensor, " vocab"]
    ) -> Float[Tensor, " vocab"]:
        """The logits as the settings change them.

        Raises:
            ModelError: a setting of the checkpoint does not fit its vocabulary.
        """
        # a mark of the photo may have no logit: it gets one that is never chosen
        largest = int(sequence.max()) if sequence.numel() else 0
        missing = max(0, largest + 1 - len(logits))
        wide = torch.nn.functional.pad(logits[None].clone(), (0, missing), value=-torch.inf)
        try:
            return self.processors(sequence, wide)[0, : len(logits)]
        except (IndexError, ValueError) as error:
            raise unusable(error) from error


def rules(
    network: PreTrainedModel, tokenizer, decoding: Decoding, input_ids: Int[Tensor, " S"]
) -> Rules:
    """What chooses the tokens of an answer to a prompt.

    Raises:
        ModelError: a setting of the checkpoint cannot be obeyed as it is written.
    """
    speaker = generator(network)
    vectors = network.config.model_type in VECTORS_ALONE
    counted = input_ids[:0] if vectors else input_ids
    try:
        settings = _prepared(speaker.generation_config, decoding, len(counted), len(input_ids))
        speaker._prepare_special_tokens(settings, device=input_ids.device)
        processors = speaker._get_logits_processor(
            settings,
            input_ids_seq_length=len(counted),
            encoder_input_ids=None if vectors else counted[None],
            device=input_ids.device,
            model_kwargs={},
        )
        stops = StoppingCriteriaList(
            [StopStringCriteria(tokenizer, settings.stop_strings)] if settings.stop_strings else []
        )
    except (IndexError, TypeError, ValueError) as error:
        raise unusable(error) from error
    return Rules(counted, processors, stops, end_ids(network))


def _prepared(
    own: GenerationConfig, decoding: Decoding, counted: int, prompt: int
) -> GenerationConfig:
    """The checkpoint's settings with those of `decoding` in their places, ready for one prompt."""
    settings = copy.deepcopy(own)
    for name in ("num_beams", "guidance_scale", "watermarking_config"):
        setattr(settings, name, None)
    settings.do_sample = decoding.temperature > 0
    settings.temperature = float(decoding.temperature)  # the warper refuses an int
    settings.top_k, settings.top_p = decoding.top_k, float(decoding.top_p)
    if decoding.repetition_penalty is not None:
        settings.repetition_penalty = float(decoding.repetition_penalty)
    settings.max_length = counted + decoding.max_new_tokens
    if settings.min_new_tokens is not None:
        settings.min_length = counted + settings.min_new_tokens
    elif settings.min_length is not None:
        settings.min_length = max(0, settings.min_length - (prompt - counted))
    return settings


def generator(network: PreTrainedModel) -> GenerationMixin:
    """The part whose settings `generate` obeys: the model, or the language model in it that the
    model's own `generate` calls.
    """
    inner = [part for part in network.children() if isinstance(part, GenerationMixin)]
    overridden = type(network).generate is not GenerationMixin.generate
    return inner[0] if overridden and inner else network


def end_ids(network: PreTrainedModel) -> frozenset[int]:
    """Tokens that end an answer."""
    said = (each.generation_config.eos_token_id for each in (generator(network), network))
    ids = next((each for each in said if each is not None), [])
    return frozenset([ids] if isinstance(ids, int) else ids)


def own_settings(network: PreTrainedModel) -> OwnSettings:
    """What came with the checkpoint."""
    settings = generator(network).generation_config
    ignored = _changed(settings, IGNORED)
    if (Path(network.name_or_path) / "custom_generate" / "generate.py").is_file():
        ignored["custom_generate"] = "generate.py"
    return OwnSettings(
        _changed(settings, OBEYED),
        _changed(settings, DRAWN),
        _changed(settings, SUGGESTED),
        ignored,
    )


def _changed(settings: GenerationConfig, neutral: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are neither missing nor at the value that changes nothing."""
    found = {name: getattr(settings, name, None) for name in neutral}
    return {
        name: value for name, value in found.items() if value not in (None, neutral[name], [], {})
    }


def unusable(error: Exception) -> ModelError:
    """One sentence about a setting that transformers refuses."""
    return ModelError(
        "A setting in this checkpoint's generation_config.json cannot be obeyed"
        f" ({str(error).splitlines()[0] if str(error) else type(error).__name__}); correct it"
        " there, or take it out."
    )
