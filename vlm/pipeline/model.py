"""The whole pipeline on one photo: encode (X to VT + TT), then decode (the answer).

No state is kept between calls.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vlm.backends import architecture, generation, text_model
from vlm.backends.attention import at_their_places, record_attention
from vlm.backends.checkpoint_settings import (
    explain_encoder,
    explain_errors,
    explain_places,
    naming_settings,
)
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy
from vlm.backends.generation import OwnSettings
from vlm.errors import ImageError, ModelError, QuestionError, VLMError
from vlm.inspect.held import HELD, Holder
from vlm.inspect.versions import versions
from vlm.pipeline.connector import lay_tokens
from vlm.pipeline.decoding import NextLogits, decode
from vlm.pipeline.image import GivenPhotos, check_photos, to_rgb
from vlm.pipeline.language_model import continued
from vlm.pipeline.patches import lay_out
from vlm.pipeline.photo_shapes import explain_refusal
from vlm.pipeline.prompt import explain_marks, find_template, render_prompt
from vlm.pipeline.vision_encoder import encode_image
from vlm.records.text_tokens import TextTokens, check_question, token_string
from vlm.records.trace import Decoding, EncodedImage, Stage, Step, Trace
from vlm.records.visual_tokens import VisualTokens, boxes_around

ensure_torchvision()

from transformers import DynamicCache, PreTrainedModel, ProcessorMixin

if TYPE_CHECKING:
    from vlm.inspect.inspector import Inspector

# For a question; the first that begins and ends with other bytes than the question does.
STAND_INS = ("\N{OBJECT REPLACEMENT CHARACTER}", "\N{SNOWMAN}", "\N{SECTION SIGN}")


@dataclass(frozen=True)
class Check:
    """A comparison of what the page shows with the model's own forward: the largest absolute
    difference, 0 in float32.
    """

    name: str
    difference: float


KEPT = 64 * 2**20  # bytes of hidden states in float32 that a prefill keeps at most


@dataclass(frozen=True)
class Prefill:
    """What the language model keeps of VT + TT (keys and values of every layer), its logits for the
    first token of the answer (in float32, and as its own forward rounds them), what it looked at,
    and if it was asked to, what VT + TT became.
    """

    cache: DynamicCache
    logits: Float[Tensor, " vocab"]
    own_logits: Float[Tensor, " vocab"]
    attention: Float[np.ndarray, "layers S"] | None
    beside: Float[np.ndarray, "crossing V"] | None
    hidden: Float[np.ndarray, "states S D"] | None


@dataclass(frozen=True)
class VisionLanguageModel:
    """A loaded vision-language model and its processor.

    What looks inside a trace is `inspect`.

    The forward that is shown is the forward that answers: `decode` reads the very `inputs_embeds`
    that `encode` recorded.
    """

    name: str
    network: PreTrainedModel
    processor: ProcessorMixin

    @property
    def reads_question(self) -> bool:
        """Whether the connector reads the question too, so that another question gives other visual
        tokens.
        """
        return architecture.family(self.network).per_question

    @property
    def language_layers(self) -> int:
        """How many layers g_phi has."""
        return text_model.language_layers(self.network)

    @property
    def own_settings(self) -> OwnSettings:
        """What came with the checkpoint in its generation_config.json."""
        return generation.own_settings(self.network)

    def token_string(self, token_id: int) -> str:
        """What one row of the vocabulary reads as."""
        return token_string(self.processor.tokenizer, token_id)

    def versions(self) -> dict[str, str]:
        """What is at work: model and revision, device, number format, packages."""
        return versions(self)

    def check_question(self, question: str | object) -> str:
        """The question without surrounding space.

        Raises:
            QuestionError: it is empty, or holds a control token of this model.
        """
        question = check_question(question, architecture.control_tokens(self.processor))
        if architecture.control_ids(self.processor) & set(
            self.processor.tokenizer(question, add_special_tokens=False)["input_ids"]
        ):
            raise QuestionError(
                "The question holds what this model's tokenizer reads as a control token, in"
                " another spelling; leave out what stands in brackets."
            )
        return question

    @torch.inference_mode()
    def encode_image(
        self,
        image: GivenPhotos,
        question: str = STAND_INS[0],
        processed: dict[str, Any] | None = None,
    ) -> EncodedImage:
        """Every stage that depends on the photo (or photos) alone: X -> x_p -> X' -> VT, with one
        encoder pass.

        Args:
            question: matters only to connectors that read the question too (`reads_question`).
            processed: from an earlier `EncodedImage` of the same photos, which are then not
                processed again.

        Raises:
            ImageError: there is no photo, or one of a shape that this model does not take.
            ModelError: the checkpoint's processor or connector is of a kind this version does not
                follow, takes fewer photos, or does not fit the model.
            QuestionError: the question is longer than such a connector reads.
        """
        start = time.perf_counter()
        images = tuple(to_rgb(each) for each in check_photos(image))
        question, processed = question.strip(), {} if processed is None else processed
        given = self.inputs(images, question, processed)
        room = architecture.question_room(self.network)
        if room and given["qformer_input_ids"].shape[1] > room:
            raise QuestionError(
                f"The question has {given['qformer_input_ids'].shape[1]:,} tokens, but the"
                f" connector of this model reads at most {room:,}; shorten it."
            )
        ready = time.perf_counter()
        inputs = architecture.vision_inputs(self.network, given)
        sizes = [(each.height, each.width) for each in images]
        size = architecture.patch_size(self.network)
        with naming_settings(self.network, self.processor, given):
            patches = lay_out(
                self.processor,
                {
                    name: value.float().numpy() if value.is_floating_point() else value.numpy()
                    for name, value in inputs.items()
                },
                sizes,
                size,
            )
            tokens = lay_tokens(
                architecture.family(self.network).tokens,
                self.network.config,
                patches,
                sizes,
                architecture.merge_size(self.network),
            )
        if len(tokens.kinds) < architecture.family(self.network).least * len(images):
            raise ModelError(
                f"A photo of {sizes[0][1]} x {sizes[0][0]} pixels becomes too few visual tokens for"
                " this model; give a larger one, of more than"
                f" {size * architecture.merge_size(self.network)} pixels on a side."
            )
        cut = time.perf_counter()
        with explain_errors(
            lambda error: explain_encoder(self.network, self.processor, inputs, error)
        ):
            encoded = encode_image(
                self.network, self.on_device(inputs), torch.from_numpy(patches.places)
            )
        if len(encoded.visual_tokens) != len(tokens.kinds):
            raise ModelError(
                f"The connector gives {len(encoded.visual_tokens)} visual tokens where"
                f" {len(tokens.kinds)} are expected; this version does not follow it."
            )
        visual_tokens = VisualTokens(
            embeddings=to_numpy(encoded.visual_tokens),
            boxes=boxes_around(patches.boxes, tokens.sources),
            sources=tokens.sources,
            kinds=tokens.kinds,
            photos=tokens.photos,
        )
        shapes = (
            ("X", (images[0].height, images[0].width, 3), ("H", "W", "C")),
            ("x_p", patches.pixels.shape, ("N", "P·P·C")),
            ("X'", tuple(encoded.output.shape), ("N", "F")),
            ("VT", tuple(encoded.visual_tokens.shape), ("V", "D")),
        )
        seconds = (ready - start, cut - ready, encoded.encoder_seconds, encoded.connector_seconds)
        return EncodedImage(
            images=images,
            patches=patches,
            projections=None if encoded.projections is None else to_numpy(encoded.projections),
            position_embeddings=None if encoded.positions is None else to_numpy(encoded.positions),
            rotation=None if encoded.rotation is None else to_numpy(encoded.rotation),
            patch_features=to_numpy(encoded.layers),
            prefix_features=to_numpy(encoded.prefix),
            encoder_output=to_numpy(encoded.output),
            output_layers=architecture.output_layers(self.network),
            visual_tokens=visual_tokens,
            stages=tuple(
                Stage(symbol, tuple(shape), axes, 1000 * time)
                for (symbol, shape, axes), time in zip(shapes, seconds)
            ),
            inputs=inputs,
            kept=encoded.kept,
            processed=processed,
            question=question,
            input_ids=tuple(given["input_ids"][0].tolist()),
        )

    @torch.inference_mode()
    def ask(self, encoded_image: EncodedImage | object, question: str | object) -> Trace:
        """A question about a photo that was seen: the prompt's tokens TT, and VT + TT.

        The encoder does not run again.

        Raises:
            ImageError: it is no photo that was seen.
            QuestionError: the question is empty, too long for the model's context, or holds a
                control token.
            ModelError: the checkpoint's processor is of a kind this version does not follow, or
                does not leave one place in the prompt for each visual token.
        """
        if not isinstance(encoded_image, EncodedImage):
            raise ImageError(
                f"A {type(encoded_image).__name__} was given in place of a photo that was seen;"
                " give what model.encode_image(image) returns, or call"
                " model.trace(image, question)."
            )
        start = time.perf_counter()
        tokenizer = self.processor.tokenizer
        question = self.check_question(question)
        stand_in = next(
            mark
            for mark in STAND_INS
            if mark.encode()[0] != question.encode()[0]
            and mark.encode()[-1] != question.encode()[-1]
        )
        stand_in_ids = (
            encoded_image.input_ids
            if stand_in == encoded_image.question
            else self.inputs(encoded_image.images, stand_in, encoded_image.processed)["input_ids"][
                0
            ].tolist()
        )
        if self.reads_question and encoded_image.question != question:
            encoded_image = self.encode_image(
                encoded_image.images, question, encoded_image.processed
            )
        given = self.inputs(encoded_image.images, question, encoded_image.processed)
        input_ids = given["input_ids"][0]
        if len(input_ids) >= architecture.context_length(self.network):
            raise QuestionError(
                f"With the image the question takes {len(input_ids):,} tokens, but this model reads"
                f" at most {architecture.context_length(self.network):,}; shorten it."
            )
        is_visual, crossed = (
            architecture.visual_positions(self.network, given),
            architecture.family(self.network).crossed,
        )
        if int(is_visual.sum()) != len(encoded_image.visual_tokens.embeddings) and not crossed:
            raise explain_places(
                self.network,
                self.processor,
                given,
                int(is_visual.sum()),
                len(encoded_image.visual_tokens.embeddings),
            )
        # pixel_values are in the encoder's outputs already
        language_inputs = architecture.language_inputs(
            self.network,
            self.on_device(
                {name: value for name, value in given.items() if name != "pixel_values"}
            ),
            encoded_image.kept,
        )
        fused = to_numpy(language_inputs.pop("inputs_embeds")[0])
        text_positions = (~is_visual).nonzero()[:, 0].numpy()
        text_tokens = TextTokens(
            token_ids=input_ids[text_positions].numpy(),
            token_strings=tuple(
                token_string(tokenizer, int(token_id)) for token_id in input_ids[text_positions]
            ),
            embeddings=fused[text_positions],
            positions=text_positions,
        )
        positions = is_visual.nonzero()[:, 0].numpy()
        if crossed:
            visual_tokens = encoded_image.visual_tokens
        else:
            deepstack = tuple(
                to_numpy(each) for each in language_inputs.get("deepstack_visual_embeds", ())
            )
            visual_tokens = replace(
                encoded_image.visual_tokens,
                embeddings=fused[positions],
                positions=positions,
                deepstack=deepstack,
            )
        stage = Stage(
            "VT + TT",
            fused.shape,
            ("S: TT alone" if crossed else "S", "D"),
            1000 * (time.perf_counter() - start),
        )
        return Trace(
            encoded_image=encoded_image,
            question=question,
            prompt=render_prompt(self.network, self.processor, question, len(encoded_image.images)),
            visual_tokens=visual_tokens,
            text_tokens=text_tokens,
            input_ids=input_ids.numpy(),
            inputs_embeds=fused,
            roles=self._roles(input_ids.tolist(), stand_in_ids, is_visual.tolist()),
            steps=(),
            stages=(*encoded_image.stages, stage),
            language_inputs=language_inputs,
        )

    def inspect(self, trace: Trace, limit: int = HELD, held: Holder | None = None) -> "Inspector":
        """Look inside a run of this model: lenses, attention, relevancy, sinks, interventions.

        Args:
            limit: bytes that the inspector holds at most of what its instruments share.
            held: another place to hold it in, which bounds itself; see `vlm.inspect.held`.
        """
        from vlm.inspect.inspector import Inspector

        return Inspector(self, trace, limit, held)

    def encode(self, image: GivenPhotos, question: str | object) -> Trace:
        """Every stage before the answer: `encode_image`, then `ask`.

        Raises:
            QuestionError, ModelError: as these.
        """
        question = self.check_question(question)
        encoded_image = (
            self.encode_image(image, question) if self.reads_question else self.encode_image(image)
        )
        return self.ask(encoded_image, question)

    @torch.inference_mode()
    def language_inputs(self, trace: Trace, said: Sequence[int] = ()) -> dict[str, Any]:
        """What g_phi is called with: VT + TT as they are in the trace, and positions and masks as
        the model's own forward made them.

        Args:
            said: tokens of an answer that follow them, in the same pass.
        """

        def there(rows: np.ndarray) -> Tensor:
            return torch.from_numpy(rows).to(self.network.device, self.network.dtype)

        tokens, deepstack = (
            there(trace.visual_tokens.embeddings),
            [there(rows) for rows in trace.visual_tokens.deepstack],
        )
        beside = architecture.tokens_beside(
            trace.language_inputs, trace.encoded_image.inputs, tokens, deepstack
        )
        inputs = {
            **trace.language_inputs,
            **beside,
            "inputs_embeds": there(trace.inputs_embeds)[None],
        }
        if not said:
            return inputs
        ids = torch.tensor([list(said)], dtype=torch.long, device=self.network.device)
        return continued(inputs, self.network.get_input_embeddings()(ids))

    def logits(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... vocab"]:
        """What g_phi's head makes of its last hidden states, in float32 whatever its format."""
        return text_model.head(self.network, hidden)

    @torch.inference_mode()
    def prefill(self, trace: Trace, hidden: bool = False) -> Prefill:
        """Let the language model read VT + TT once: what every answer to this trace starts from.

        Args:
            hidden: keep `hidden_states` too, where they take at most 64 MiB.
        """
        cache = DynamicCache(config=self.network.config.get_text_config())
        keep = hidden and self.keeps_hidden(trace)
        return Prefill(cache, *self._forward(trace, self.language_inputs(trace), cache, keep))

    def keeps_hidden(self, trace: Trace) -> bool:
        """Whether the states of this trace are small enough for a prefill to keep them."""
        return (self.language_layers + 1) * trace.inputs_embeds.nbytes <= KEPT

    def decode(
        self, trace: Trace, decoding: Decoding = Decoding(), prefill: Prefill | None = None
    ) -> Iterator[Step]:
        """Stream the answer to an encoded trace: one prefill of `trace.inputs_embeds`, then one
        short forward a token.

        Tokens are chosen by `decoding` and by the settings that came with the checkpoint, as
        transformers' own `generate` obeys them (see `vlm.backends.generation`).

        Args:
            prefill: from an earlier `prefill` of the same trace; it can be used any number of
                times.

        Raises:
            ModelError: a setting of the checkpoint cannot be obeyed as it is written.
        """
        cache, looked, count = None, {}, 0

        def next_logits(token_id: int | None) -> NextLogits:
            nonlocal cache, looked, count
            with torch.inference_mode():
                if token_id is None:
                    read = prefill or self.prefill(trace)
                    cache, looked = (
                        copy.deepcopy(read.cache) if prefill else read.cache,
                        {
                            "attention": read.attention,
                            "beside": read.beside,
                        },
                    )
                    return NextLogits(read.logits, read.own_logits)
                exact, own, *rows = self._forward(
                    trace, self._following(trace, [token_id], count), cache
                )
                looked = dict(zip(looked, rows))
                count += 1
                return NextLogits(exact, own)

        room = architecture.context_length(self.network) - len(trace.input_ids)
        prompt, tokenizer = torch.from_numpy(trace.input_ids), self.processor.tokenizer
        rules = generation.rules(self.network, tokenizer, decoding, prompt)
        steps = decode(next_logits, tokenizer, rules, decoding)
        return (replace(step, **looked) for step in islice(steps, room))

    @torch.inference_mode()
    def score(
        self, trace: Trace, token_ids: Sequence[int], prefill: Prefill | None = None
    ) -> Float[np.ndarray, " tokens"]:
        """The log-probability that each of these tokens has as the next one after `trace` and those
        before it, in two passes: the model's own, which no setting changes.

        Args:
            prefill: from an earlier `prefill` of the same trace.
        """
        read = prefill or self.prefill(trace)
        logits = read.logits[None]
        if len(token_ids) > 1:
            cache = copy.deepcopy(read.cache) if prefill else read.cache
            trunk = text_model.language_trunk(self.network)
            hidden = trunk(
                **self._following(trace, list(token_ids)[:-1], 0),
                **text_model.reading_on(self.network, cache),
            ).last_hidden_state[0]
            logits = torch.cat([logits, self.logits(hidden)])
        said = torch.tensor(list(token_ids), device=logits.device)
        return to_numpy(logits.log_softmax(-1).gather(1, said[:, None])[:, 0])

    def _following(self, trace: Trace, token_ids: list[int], count: int) -> dict[str, Tensor]:
        """Prepare g_phi's arguments for tokens that follow the trace and `count` tokens."""
        embeds = self.network.get_input_embeddings()(
            torch.tensor([token_ids], device=self.network.device)
        )
        following = architecture.next_positions(
            trace.language_inputs, count, len(token_ids)
        ) | architecture.next_masks(trace.language_inputs, len(token_ids))
        return {"inputs_embeds": embeds, **following}

    def _forward(
        self, trace: Trace, inputs: Mapping[str, Any], cache: DynamicCache, keep: bool = False
    ) -> tuple[
        Float[Tensor, " vocab"],
        Float[Tensor, " vocab"],
        Float[np.ndarray, "layers positions"] | None,
        Float[np.ndarray, "crossing V"] | None,
        Float[np.ndarray, "states positions D"] | None,
    ]:
        """One pass of the language model over new positions: the logits of the next token in
        float32 and as its own forward rounds them, what it is read from in the sequence (if that
        is recorded) and beside it; and what the positions became, if that is to be kept.
        """
        rows, beside, more = [], [], {"output_hidden_states": True} if keep else {}
        with record_attention(
            lambda weights: rows.append(weights()[:, -1].mean(0)),
            True,
            architecture.crossing(self.network),
            lambda weights: beside.append(weights()[:, -1].mean(0)),
        ):
            output = text_model.language_trunk(self.network)(
                **inputs, **text_model.reading_on(self.network, cache), **more
            )
        crossed = (
            to_numpy(architecture.weights_beside(torch.stack(beside), trace.encoded_image.inputs))
            if beside
            else None
        )
        looked = to_numpy(at_their_places(rows, cache.get_seq_length())) if rows else None
        own = text_model.own_logits(self.network, output.last_hidden_state[0, -1])
        half = own.dtype in text_model.HALF
        return (
            self.logits(output.last_hidden_state[0, -1]) if half else own,
            own,
            looked,
            crossed,
            to_numpy(torch.cat(output.hidden_states)) if keep else None,
        )

    def trace(
        self,
        image: GivenPhotos,
        question: str | object,
        decoding: Decoding = Decoding(),
    ) -> Trace:
        """The whole pipeline on one photo, or several, and one question.

        Raises:
            QuestionError, ModelError: as `encode`.
        """
        trace = self.encode(image, question)
        return trace.with_steps(self.decode(trace, decoding))

    @torch.inference_mode()
    def check(self, trace: Trace) -> tuple[Check, ...]:
        """Run the model's own forward on the photo and the prompt and compare: stages with stages,
        logits with logits.
        """
        inputs = self.on_device(self.inputs(trace.encoded_image.images, trace.question))
        given, positions = (
            architecture.language_inputs(self.network, inputs),
            trace.visual_tokens.positions,
        )
        reached = (
            architecture.crossed_tokens(given, inputs)
            if positions is None
            else given["inputs_embeds"][0, torch.from_numpy(positions)]
        )
        last = architecture.last_logits(self.network)
        whole = self.network(**inputs, **last).logits[0, -1]
        hidden = text_model.language_trunk(self.network)(
            **self.language_inputs(trace), use_cache=False
        ).last_hidden_state[0]
        # the product for one row rounds otherwise
        staged = text_model.own_logits(self.network, hidden[-1:] if last else hidden)[-1]
        return (
            Check(
                "visual tokens VT",
                float(np.abs(to_numpy(reached) - trace.visual_tokens.embeddings).max()),
            ),
            Check("logits of the first answer token", float((whole - staged).abs().max())),
        )

    def inputs(
        self,
        images: Sequence[Image.Image],
        question: str,
        processed: dict[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """All that the model's own forward takes, by the processor and the chat template.

        Args:
            processed: `EncodedImage.processed` of these photos, or empty and filled here: then
                their pixels are not processed again.

        Raises:
            ImageError: a photo has a shape that the processor does not take.
            ModelError: the chat template or the processor's settings do not let it work.
        """
        words = architecture.family(self.network).prompt
        template = find_template(self.processor, words)
        if len(images) > 1 and not template:
            raise ModelError(
                f"{architecture.family(self.network).name} models answer questions about one photo;"
                f" {len(images)} were given."
            )
        prompt, tokenizer = (
            render_prompt(self.network, self.processor, question, len(images)),
            self.processor.tokenizer,
        )
        processor = (
            self.processor
            if processed is None
            else architecture.looking_once(self.processor, processed)
        )
        # a template that writes the first token of a text itself must not get a second one
        once = (
            {"add_special_tokens": False}
            if tokenizer.bos_token and prompt.startswith(tokenizer.bos_token)
            else {}
        )
        # the photos of one chat belong together, as transformers' own chat call gives them: some
        # processors treat several photos of one text unlike single ones

        def process(processor, images: Sequence[Image.Image], prompt: str) -> Mapping[str, Tensor]:
            photos = [list(images)] if template else list(images)
            return processor(images=photos, text=prompt, return_tensors="pt", **once)

        def refusal(error: Exception) -> VLMError:
            single = render_prompt(self.network, self.processor, question)
            return explain_marks(words, self.processor, prompt, len(images)) or explain_refusal(
                lambda image: process(self.processor, [image], single), images, error
            )

        with explain_errors(refusal):
            given = process(processor, images, prompt)
        return {name: value for name, value in given.items() if name != "labels"}

    def on_device(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same where the network is, in its number format."""
        where = self.network
        return {
            name: (
                value.to(where.device, where.dtype)
                if value.is_floating_point()
                else value.to(where.device)
            )
            for name, value in inputs.items()
        }

    def _roles(
        self, input_ids: list[int], stand_in_ids: Sequence[int], is_visual: list[bool]
    ) -> tuple[str, ...]:
        """What each position is.

        The question is where the prompt differs from the prompt with the stand-in for a question.
        """
        start = next(
            (
                place
                for place, pair in enumerate(zip(input_ids, stand_in_ids))
                if pair[0] != pair[1]
            ),
            len(input_ids),
        )
        shortest = min(len(input_ids), len(stand_in_ids)) - start
        end = len(input_ids) - next(
            (
                place
                for place in range(shortest)
                if input_ids[-1 - place] != stand_in_ids[-1 - place]
            ),
            shortest,
        )
        special = set(self.processor.tokenizer.all_special_ids)
        return tuple(
            (
                "visual"
                if is_visual[position]
                else (
                    "question"
                    if start <= position < end
                    else "special"
                    if token in special
                    else "template"
                )
            )
            for position, token in enumerate(input_ids)
        )
