"""The whole pipeline on one photo: encode (X to VT + TT), then decode (the answer). No state is kept between calls."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, ProcessorMixin

from vlm import architecture
from vlm.connector import VisualTokens
from vlm.decoding import decode
from vlm.errors import ModelError, QuestionError
from vlm.images import to_rgb
from vlm.patches import Patches, grid_boxes, patchify, unpatchify
from vlm.records import Decoding, Stage, Step, Trace
from vlm.text_tokens import TextTokens, check_question, question_positions, token_string
from vlm.vision_encoder import encode_image

STAND_IN = "\N{OBJECT REPLACEMENT CHARACTER}"  # for a question


def to_numpy(tensor: Tensor) -> np.ndarray:
    """float32 (integers as they are) on the CPU."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()


@dataclass(frozen=True)
class Check:
    """A comparison of what the page shows with the model's own forward: the largest absolute difference, 0 in float32."""

    name: str
    difference: float


@dataclass(frozen=True)
class VisionLanguageModel:
    """A loaded vision-language model and its processor.

    The forward that is shown is the forward that answers: `decode` reads the very `inputs_embeds` that `encode` recorded.
    """

    name: str
    network: PreTrainedModel
    processor: ProcessorMixin

    @torch.inference_mode()
    def encode(self, image: Image.Image, question: str) -> Trace:
        """Every stage before the answer: X -> x_p -> X' -> VT -> VT + TT, with one encoder pass.

        Raises:
            QuestionError: the question is empty, too long for the model's context, or holds a control token.
            ModelError: the checkpoint's processor or connector is of a kind this version does not follow.
        """
        tokenizer = self.processor.tokenizer
        question = check_question(question, architecture.control_tokens(self.processor))
        start = time.perf_counter()
        image = to_rgb(image)
        prompt = architecture.render_prompt(self.processor, question)
        inputs = self.processor(images=image, text=prompt, return_tensors="pt")
        input_ids, pixel_values = inputs["input_ids"][0], inputs["pixel_values"]
        if len(input_ids) >= architecture.context_length(self.network):
            raise QuestionError(
                f"With the image the question takes {len(input_ids):,} tokens, but this model reads at most {architecture.context_length(self.network):,}; shorten it."
            )
        ready = time.perf_counter()
        patches = self._patches(image, to_numpy(pixel_values[0]))
        cut = time.perf_counter()
        encoded = encode_image(self.network, pixel_values.to(self.network.device, self.network.dtype))
        positions = (input_ids == architecture.image_token_id(self.network)).nonzero()[:, 0]
        if len(encoded.visual_tokens) != len(patches.boxes) or len(positions) != len(patches.boxes):
            raise ModelError(
                f"The connector gives {len(encoded.visual_tokens)} visual tokens for {len(patches.boxes)} patches and the prompt has {len(positions)} places for them; "
                "this version follows connectors that keep one token a patch."
            )
        embedding_start = time.perf_counter()
        embeddings = self.network.get_input_embeddings()(input_ids.to(self.network.device))
        fused = embeddings.clone()
        fused[positions] = encoded.visual_tokens.to(fused.dtype)
        embedded = time.perf_counter()
        text_positions = (input_ids != architecture.image_token_id(self.network)).nonzero()[:, 0]
        text_tokens = TextTokens(
            token_ids=input_ids[text_positions].numpy(),
            token_strings=tuple(token_string(tokenizer, int(token_id)) for token_id in input_ids[text_positions]),
            embeddings=to_numpy(embeddings[text_positions]),
            positions=text_positions.numpy(),
        )
        visual_tokens = VisualTokens(to_numpy(encoded.visual_tokens), patches.boxes, positions.numpy())
        layers, prefix = encoded.layers[:, -len(patches.boxes) :], encoded.layers[:, : -len(patches.boxes)]
        times = (ready - start, cut - ready, encoded.encoder_seconds, encoded.connector_seconds, embedded - embedding_start)
        return Trace(
            image=image,
            question=question,
            prompt=prompt,
            patches=patches,
            patch_features=to_numpy(layers),
            prefix_features=to_numpy(prefix),
            encoder_output=to_numpy(encoded.output),
            visual_tokens=visual_tokens,
            text_tokens=text_tokens,
            input_ids=input_ids.numpy(),
            inputs_embeds=to_numpy(fused),
            roles=self._roles(prompt, question, input_ids),
            steps=(),
            stages=self._stages(image, patches, encoded.output, visual_tokens, fused, times),
        )

    def decode(self, trace: Trace, decoding: Decoding = Decoding()) -> Iterator[Step]:
        """Stream the answer to an encoded trace: one prefill of `trace.inputs_embeds`, then one short forward a token."""
        cache = DynamicCache(config=self.network.config.get_text_config())
        embed = self.network.get_input_embeddings()

        def next_logits(token_id: int | None) -> Float[Tensor, " vocab"]:
            with torch.inference_mode():
                if token_id is None:
                    embeds = torch.from_numpy(trace.inputs_embeds).to(self.network.device, self.network.dtype)
                else:
                    embeds = embed(torch.tensor([token_id], device=self.network.device))
                output = self.network(inputs_embeds=embeds[None], past_key_values=cache, use_cache=True, logits_to_keep=1)
                return output.logits[0, -1]

        room = architecture.context_length(self.network) - len(trace.input_ids)
        steps = decode(next_logits, torch.from_numpy(trace.input_ids), self.processor.tokenizer, architecture.end_ids(self.network), decoding)
        return islice(steps, room)

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
        pixel_values = unpatchify(trace.patches.pixels, trace.patches.rows, trace.patches.size)
        inputs = {
            "input_ids": torch.from_numpy(trace.input_ids)[None].to(self.network.device),
            "pixel_values": torch.from_numpy(np.ascontiguousarray(pixel_values))[None].to(self.network.device, self.network.dtype),
        }
        whole = self.network(**inputs, logits_to_keep=1)
        embeds = torch.from_numpy(trace.inputs_embeds)[None].to(self.network.device, self.network.dtype)
        staged = self.network(inputs_embeds=embeds, logits_to_keep=1)
        visual = to_numpy(torch.cat(list(whole.image_hidden_states)) if not torch.is_tensor(whole.image_hidden_states) else whole.image_hidden_states)
        return (
            Check("visual tokens VT", float(np.abs(visual.reshape(trace.visual_tokens.embeddings.shape) - trace.visual_tokens.embeddings).max())),
            Check("logits of the first answer token", float((whole.logits - staged.logits).abs().max())),
        )

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

    @staticmethod
    def _stages(image: Image.Image, patches: Patches, output: Tensor, visual: VisualTokens, fused: Tensor, seconds: tuple[float, ...]) -> tuple[Stage, ...]:
        shapes = (
            ("X", (image.height, image.width, 3), ("H", "W", "C")),
            ("x_p", patches.pixels.shape, ("N", "P·P·C")),
            ("X'", tuple(output.shape), ("N", "F")),
            ("VT", visual.embeddings.shape, ("V", "D")),
            ("VT + TT", tuple(fused.shape), ("S", "D")),
        )
        return tuple(Stage(symbol, tuple(shape), axes, 1000 * time) for (symbol, shape, axes), time in zip(shapes, seconds))
