"""The whole pipeline on one photo: encode (X to VT + TT), then decode (the answer). No state is kept between calls."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, ProcessorMixin

from vlm import architecture, lens
from vlm.attention import recording
from vlm.connector import VisualTokens
from vlm.decoding import decode
from vlm.device import to_numpy
from vlm.errors import ModelError, QuestionError
from vlm.images import to_rgb
from vlm.lens import Reading
from vlm.patches import Patches, grid_boxes, patchify, unpatchify
from vlm.records import Decoding, Sight, Stage, Step, Trace
from vlm.text_tokens import TextTokens, check_question, question_positions, token_string
from vlm.vision_encoder import EncoderAttention, encode_image, encoder_attention

STAND_IN = "\N{OBJECT REPLACEMENT CHARACTER}"  # for a question


@dataclass(frozen=True)
class Check:
    """A comparison of what the page shows with the model's own forward: the largest absolute difference, 0 in float32."""

    name: str
    difference: float


@dataclass(frozen=True)
class Prefill:
    """What the language model keeps of VT + TT (keys and values of every layer), its logits for the first token of the answer, and what it looked at."""

    cache: DynamicCache
    logits: Float[Tensor, " vocab"]
    attention: Float[np.ndarray, "layers S"] | None


@dataclass(frozen=True)
class VisionLanguageModel:
    """A loaded vision-language model and its processor.

    The forward that is shown is the forward that answers: `decode` reads the very `inputs_embeds` that `encode` recorded.
    """

    name: str
    network: PreTrainedModel
    processor: ProcessorMixin

    @property
    def language_layers(self) -> int:
        """How many layers g_phi has."""
        return architecture.language_layers(self.network)

    def check_question(self, question: str) -> str:
        """The question without surrounding space.

        Raises:
            QuestionError: it is empty, or holds a control token of this model.
        """
        return check_question(question, architecture.control_tokens(self.processor))

    @torch.inference_mode()
    def see(self, image: Image.Image) -> Sight:
        """Every stage that depends on the photo alone: X -> x_p -> X' -> VT, with one encoder pass.

        Raises:
            ModelError: the checkpoint's processor or connector is of a kind this version does not follow.
        """
        start = time.perf_counter()
        image = to_rgb(image)
        pixel_values = self.processor.image_processor(images=image, return_tensors="pt")["pixel_values"]
        ready = time.perf_counter()
        patches = self._patches(image, to_numpy(pixel_values[0]))
        cut = time.perf_counter()
        encoded = encode_image(self.network, pixel_values.to(self.network.device, self.network.dtype))
        if len(encoded.visual_tokens) != len(patches.boxes):
            raise ModelError(
                f"The connector gives {len(encoded.visual_tokens)} visual tokens for {len(patches.boxes)} patches; this version follows connectors that keep one token a patch."
            )
        layers, prefix = encoded.layers[:, -len(patches.boxes) :], encoded.layers[:, : -len(patches.boxes)]
        projections, embedded = to_numpy(encoded.projections), to_numpy(encoded.embedded)
        shapes = (
            ("X", (image.height, image.width, 3), ("H", "W", "C")),
            ("x_p", patches.pixels.shape, ("N", "P·P·C")),
            ("X'", tuple(encoded.output.shape), ("N", "F")),
            ("VT", tuple(encoded.visual_tokens.shape), ("V", "D")),
        )
        seconds = (ready - start, cut - ready, encoded.encoder_seconds, encoded.connector_seconds)
        return Sight(
            image=image,
            patches=patches,
            projections=projections,
            position_embeddings=embedded - projections,
            patch_features=to_numpy(layers),
            prefix_features=to_numpy(prefix),
            encoder_output=to_numpy(encoded.output),
            output_layers=architecture.output_layers(self.network),
            visual_embeddings=to_numpy(encoded.visual_tokens),
            stages=tuple(Stage(symbol, tuple(shape), axes, 1000 * time) for (symbol, shape, axes), time in zip(shapes, seconds)),
        )

    @torch.inference_mode()
    def ask(self, sight: Sight, question: str) -> Trace:
        """A question about a photo that was seen: the prompt's tokens TT, and VT + TT. The encoder does not run again.

        Raises:
            QuestionError: the question is empty, too long for the model's context, or holds a control token.
            ModelError: the checkpoint's processor is of a kind this version does not follow.
        """
        start = time.perf_counter()
        tokenizer = self.processor.tokenizer
        question = self.check_question(question)
        prompt = architecture.render_prompt(self.processor, question)
        placeholder, count = architecture.image_token_id(self.network), len(sight.visual_embeddings)
        mark = tokenizer.convert_ids_to_tokens(placeholder)
        # the processor's own way of making room for the visual tokens
        input_ids = torch.tensor(tokenizer(prompt.replace(mark, mark * count))["input_ids"])
        if len(input_ids) >= architecture.context_length(self.network):
            raise QuestionError(
                f"With the image the question takes {len(input_ids):,} tokens, but this model reads at most {architecture.context_length(self.network):,}; shorten it."
            )
        is_visual = input_ids == placeholder
        if int(is_visual.sum()) != count:
            raise ModelError(f"The prompt has {int(is_visual.sum())} places for {count} visual tokens; this version follows prompts with one image.")
        embeddings = self.network.get_input_embeddings()(input_ids.to(self.network.device))
        text_positions = (~is_visual).nonzero()[:, 0]
        text_tokens = TextTokens(
            token_ids=input_ids[text_positions].numpy(),
            token_strings=tuple(token_string(tokenizer, int(token_id)) for token_id in input_ids[text_positions]),
            embeddings=to_numpy(embeddings[text_positions]),
            positions=text_positions.numpy(),
        )
        fused = to_numpy(embeddings)
        fused[is_visual.numpy()] = sight.visual_embeddings
        visual_tokens = VisualTokens(sight.visual_embeddings, sight.patches.boxes, is_visual.nonzero()[:, 0].numpy())
        stage = Stage("VT + TT", fused.shape, ("S", "D"), 1000 * (time.perf_counter() - start))
        return Trace(
            sight=sight,
            question=question,
            prompt=prompt,
            visual_tokens=visual_tokens,
            text_tokens=text_tokens,
            input_ids=input_ids.numpy(),
            inputs_embeds=fused,
            roles=self._roles(prompt, question, input_ids),
            steps=(),
            stages=(*sight.stages, stage),
        )

    def encode(self, image: Image.Image, question: str) -> Trace:
        """Every stage before the answer: `see`, then `ask`.

        Raises:
            QuestionError, ModelError: as these.
        """
        self.check_question(question)
        return self.ask(self.see(image), question)

    @torch.inference_mode()
    def prefill(self, trace: Trace) -> Prefill:
        """Let the language model read VT + TT once: what every answer to this trace starts from."""
        cache = DynamicCache(config=self.network.config.get_text_config())
        logits, attention = self._forward(torch.from_numpy(trace.inputs_embeds).to(self.network.device, self.network.dtype), cache)
        return Prefill(cache, logits, attention)

    def decode(self, trace: Trace, decoding: Decoding = Decoding(), prefill: Prefill | None = None) -> Iterator[Step]:
        """Stream the answer to an encoded trace: one prefill of `trace.inputs_embeds`, then one short forward a token.

        Args:
            prefill: from an earlier `prefill` of the same trace; it can be used any number of times.
        """
        embed = self.network.get_input_embeddings()
        cache, attention = None, None

        def next_logits(token_id: int | None) -> Float[Tensor, " vocab"]:
            nonlocal cache, attention
            with torch.inference_mode():
                if token_id is None:
                    read = prefill or self.prefill(trace)
                    cache, attention = copy.deepcopy(read.cache) if prefill else read.cache, read.attention
                    return read.logits
                logits, attention = self._forward(embed(torch.tensor([token_id], device=self.network.device)), cache)
                return logits

        room = architecture.context_length(self.network) - len(trace.input_ids)
        steps = decode(next_logits, torch.from_numpy(trace.input_ids), self.processor.tokenizer, architecture.end_ids(self.network), decoding)
        return (replace(step, attention=attention) for step in islice(steps, room))

    @torch.inference_mode()
    def score(self, trace: Trace, token_ids: Sequence[int]) -> Float[np.ndarray, " tokens"]:
        """The log-probability that each of these tokens has as the next one after `trace` and those before it, in one pass."""
        said = torch.tensor(list(token_ids), device=self.network.device)
        prompt = torch.from_numpy(trace.inputs_embeds).to(self.network.device, self.network.dtype)
        embeds = torch.cat([prompt, self.network.get_input_embeddings()(said[:-1])])
        logits = self.network(inputs_embeds=embeds[None], use_cache=False, logits_to_keep=len(said)).logits[0]
        return to_numpy(logits.float().log_softmax(-1).gather(1, said[:, None])[:, 0])

    def _forward(self, embeds: Float[Tensor, "new D"], cache: DynamicCache) -> tuple[Float[Tensor, " vocab"], Float[np.ndarray, "layers positions"] | None]:
        """One pass of the language model over new positions: the logits of the next token, and what it is read from (if that is recorded)."""
        rows = []
        with recording(lambda weights: rows.append(weights()[:, -1].mean(0)), last=True):
            logits = self.network(inputs_embeds=embeds[None], past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
        return logits, to_numpy(torch.stack(rows)) if rows else None

    def trace(self, image: Image.Image, question: str, decoding: Decoding = Decoding()) -> Trace:
        """The whole pipeline on one photo and one question.

        Raises:
            QuestionError, ModelError: as `encode`.
        """
        trace = self.encode(image, question)
        return trace.with_steps(self.decode(trace, decoding))

    @torch.inference_mode()
    def check(self, trace: Trace) -> tuple[Check, ...]:
        """Run the model's own forward on the photo and the prompt and compare: stages with stages, logits with logits."""
        inputs = {"input_ids": torch.from_numpy(trace.input_ids)[None].to(self.network.device), "pixel_values": self._pixel_values(trace.sight)}
        whole = self.network(**inputs, logits_to_keep=1)
        embeds = torch.from_numpy(trace.inputs_embeds)[None].to(self.network.device, self.network.dtype)
        staged = self.network(inputs_embeds=embeds, logits_to_keep=1)
        visual = to_numpy(torch.cat(list(whole.image_hidden_states)) if not torch.is_tensor(whole.image_hidden_states) else whole.image_hidden_states)
        return (
            Check("visual tokens VT", float(np.abs(visual.reshape(trace.visual_tokens.embeddings.shape) - trace.visual_tokens.embeddings).max())),
            Check("logits of the first answer token", float((whole.logits - staged.logits).abs().max())),
        )

    @torch.inference_mode()
    def encoder_attention(self, sight: Sight) -> EncoderAttention:
        """Who looks at whom in every layer of the vision encoder: one more encoder pass."""
        return encoder_attention(self.network, self._pixel_values(sight), sight.prefix_features.shape[1])

    @torch.inference_mode()
    def embedding_lens(self, rows: Float[np.ndarray, "rows D"], count: int = 5) -> tuple[tuple[Reading, ...], ...]:
        """For each row the `count` vocabulary entries whose input embedding points most nearly the same way, each with its cosine."""
        return lens.embedding_lens(self.network, self.processor.tokenizer, rows, count)

    @torch.inference_mode()
    def hidden_states(self, trace: Trace) -> Float[np.ndarray, "layers S D"]:
        """VT + TT inside the language model: row 0 is what goes in, row k the output of layer k; the last one is after the final norm."""
        embeds = torch.from_numpy(trace.inputs_embeds)[None].to(self.network.device, self.network.dtype)
        output = architecture.language_trunk(self.network)(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
        return to_numpy(torch.cat(output.hidden_states))

    @torch.inference_mode()
    def logit_lens(self, hidden: Float[np.ndarray, "layers S D"], position: int, count: int = 5) -> tuple[tuple[Reading, ...], ...]:
        """What one position "says" at every layer: the most probable next tokens if the language model stopped there."""
        return lens.logit_lens(self.network, self.processor.tokenizer, hidden[:, position], count)

    @torch.inference_mode()
    def word_map(self, hidden: Float[np.ndarray, "layers S D"], layer: int, positions: Int[np.ndarray, " V"], word: str) -> tuple[str, Float[np.ndarray, " V"]]:
        """Where the picture "says" a word: the probability of its first token at these positions, by the logit lens of one layer; and that token.

        Raises:
            QuestionError: the word is empty.
        """
        token_id = lens.first_token(self.processor.tokenizer, word)
        probabilities = lens.probabilities(self.network, hidden[:, positions], layer)
        return token_string(self.processor.tokenizer, token_id), to_numpy(probabilities[:, token_id])

    def _pixel_values(self, sight: Sight) -> Float[Tensor, "1 C H W"]:
        values = unpatchify(sight.patches.pixels, sight.patches.rows, sight.patches.size)
        return torch.from_numpy(np.ascontiguousarray(values))[None].to(self.network.device, self.network.dtype)

    def _patches(self, image: Image.Image, pixel_values: Float[np.ndarray, "C H W"]) -> Patches:
        size = architecture.patch_size(self.network)
        height, width = pixel_values.shape[1:]
        box = architecture.received_box(self.processor, (image.height, image.width), (height, width))
        rows, columns = height // size, width // size
        received = architecture.denormalise(self.processor, pixel_values)
        return Patches(patchify(pixel_values, size), grid_boxes(box, rows, columns), received, box, rows, columns, size)

    def _roles(self, prompt: str, question: str, input_ids: Tensor) -> tuple[str, ...]:
        tokenizer = self.processor.tokenizer
        placeholder = architecture.image_token_id(self.network)
        count = int((input_ids == placeholder).sum())
        mark = tokenizer.convert_ids_to_tokens(placeholder)
        # Found with a stand-in, because the words of the question may stand in the template too ("a" in "assistant").
        before = architecture.render_prompt(self.processor, STAND_IN).partition(STAND_IN)[0].replace(mark, mark * count)
        span = (len(before), len(before) + len(question))
        asked = question_positions(tokenizer, prompt.replace(mark, mark * count), span, input_ids.tolist())
        special = set(tokenizer.all_special_ids)
        return tuple(
            "visual" if token == placeholder else "question" if position in asked else "special" if token in special else "template"
            for position, token in enumerate(input_ids.tolist())
        )
