"""What looks inside a trace of a loaded model: lenses, attention, relevancy, sinks, ablation,
knockout, interventions. Each is a file of its own; here they are asked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from vlm.backends import architecture, text_model
from vlm.backends.compat import ensure_torchvision
from vlm.backends.device import to_numpy
from vlm.errors import ModelError
from vlm.inspect import ablation, contextual_lens, knockout, lens, self_check, sinks
from vlm.inspect.ablation import AblationCheck
from vlm.inspect.answer_attention import WordAttention, word_attention
from vlm.inspect.contextual_lens import ContextualIndex, Nearest
from vlm.inspect.knockout import Masking, Sweep, masked, under
from vlm.inspect.lens import LensTable, Reading
from vlm.inspect.relevancy import relevancy
from vlm.inspect.self_check import Comparison
from vlm.inspect.sinks import Sinks
from vlm.inspect.token_changes import Intervention
from vlm.pipeline.language_model import continued
from vlm.pipeline.vision_encoder import EncoderAttention, encoder_attention
from vlm.records.text_tokens import first_token, token_string, word_ids
from vlm.records.trace import Decoding, Sight, Step, Trace

ensure_torchvision()

from transformers import PreTrainedModel, ProcessorMixin


class Instruments:
    """What a loaded model can be asked about its own traces; `VisionLanguageModel` has them all."""

    network: PreTrainedModel
    processor: ProcessorMixin

    def comparisons(self, trace: Trace) -> Iterator[Comparison]:
        """`check` and more, one by one: the logit lens, recorded attention and the boxes on this
        photo, each with the difference that is allowed.
        """
        return self_check.compare(self, trace)

    def versions(self) -> dict[str, str]:
        """What is at work: model and revision, device, number format, packages."""
        return self_check.versions(self)

    @torch.inference_mode()
    def encoder_attention(self, sight: Sight) -> EncoderAttention:
        """Who looks at whom in every layer of the vision encoder: one more encoder pass.

        Raises:
            ModelError: the encoder has no attention between patches.
        """
        return encoder_attention(
            self.network, self.on_device(sight.inputs), len(sight.patches.places)
        )

    @torch.inference_mode()
    def embedding_lens(
        self, rows: Float[np.ndarray, "rows D"], count: int = 5
    ) -> tuple[tuple[Reading, ...], ...]:
        """For each row the `count` vocabulary entries whose input embedding points most nearly the
        same way, each with its cosine.
        """
        return lens.embedding_lens(self.network, self.processor.tokenizer, rows, count)

    @torch.inference_mode()
    def hidden_states(self, trace: Trace, prefill: Any = None) -> Float[np.ndarray, "layers S D"]:
        """VT + TT inside the language model: row 0 is what goes in, row k the output of layer k;
        the last one is after the final norm.

        Args:
            prefill: from an earlier `prefill` of the same trace; if that kept them, nothing is
                computed.
        """
        if prefill is not None and prefill.hidden is not None:
            return prefill.hidden
        output = text_model.language_trunk(self.network)(
            **self.language_inputs(trace), use_cache=False, output_hidden_states=True
        )
        return to_numpy(torch.cat(output.hidden_states))

    @torch.inference_mode()
    def logit_lens(
        self, hidden: Float[np.ndarray, "layers S D"], position: int, count: int = 5
    ) -> tuple[tuple[Reading, ...], ...]:
        """What one position "says" at every layer: the most probable next tokens if the language
        model stopped there.
        """
        return lens.logit_lens(self.network, self.processor.tokenizer, hidden[:, position], count)

    def token_string(self, token_id: int) -> str:
        """What one row of the vocabulary reads as."""
        return token_string(self.processor.tokenizer, token_id)

    @torch.inference_mode()
    def lens_table(
        self,
        hidden: Float[np.ndarray, "layers S D"],
        positions: Int[np.ndarray, " rows"],
        count: int = 5,
    ) -> LensTable:
        """The logit lens of many positions at every layer: the most probable words, and what turns
        any word's logit into its probability.

        Never holds more than 64 MiB of logits; what it gives takes layers x rows x (2 count + 1)
        numbers.
        """
        return lens.table(self.network, hidden[:, positions], count)

    @torch.inference_mode()
    def word_maps(
        self,
        hidden: Float[np.ndarray, "layers S D"],
        positions: Int[np.ndarray, " rows"],
        table: LensTable,
        word: str,
    ) -> tuple[str, Float[np.ndarray, "layers rows"]]:
        """Where the picture "says" a word, at every layer: the probability of its first token by
        the logit lens, and that token.

        Args:
            table: `lens_table` of the same positions.

        Raises:
            QuestionError: the word is empty.
        """
        token_id = first_token(self.processor.tokenizer, word)
        return (
            token_string(self.processor.tokenizer, token_id),
            self.word_probabilities(hidden, positions, table, [token_id])[..., 0],
        )

    @torch.inference_mode()
    def word_probabilities(
        self,
        hidden: Float[np.ndarray, "layers S D"],
        positions: Int[np.ndarray, " rows"],
        table: LensTable,
        token_ids: Sequence[int],
    ) -> Float[np.ndarray, "layers rows words"]:
        """The same for several vocabulary entries."""
        return lens.word_probabilities(self.network, hidden[:, positions], table, token_ids)

    def contextual_lens(
        self,
        rows: Float[np.ndarray, "rows D"],
        count: int = 5,
        index: ContextualIndex | None = None,
    ) -> tuple[tuple[Nearest, ...], ...]:
        """For each row, a state inside g_phi before its final norm, the phrases whose last word has
        the most similar state at any kept layer.

        Args:
            index: by default the one of this model, see `vlm.inspect.contextual_lens`.

        Raises:
            ModelError: there is no index for this model, or it was made with other weights.
        """
        return (index or contextual_lens.load(self)).nearest(rows, count)

    def attention(self, trace: Trace) -> WordAttention:
        """What each word of the answer looked at, by layer and head, and its rollout: one pass over
        VT + TT and the answer.

        Of a model that reads its visual tokens beside the sequence, what its layers of
        cross-attention looked at among them.
        """
        said = [step.token_id for step in trace.steps]
        return word_attention(
            self.network,
            self._going_on(trace, said[:-1]),
            len(trace.input_ids),
            len(said),
            _beside(trace),
        )

    def relevancy(self, trace: Trace, step: int) -> Float[np.ndarray, " positions"]:
        """What one word of the answer hangs on: gradient x attention relevancy of every position
        before it, never negative.

        After the positions come the visual tokens that stand beside the sequence, if they do.
        """
        said = self._said(trace, step)
        return relevancy(self.network, self._going_on(trace, said[:-1]), said[-1], _beside(trace))

    def sinks(self, trace: Trace, hidden: Float[np.ndarray, "layers S D"] | None = None) -> Sinks:
        """Positions at which attention is parked, in the language model and in the encoder."""
        layers = [layer for layer in trace.sight.output_layers if layer < len(trace.patch_features)]
        return sinks.find(
            self.hidden_states(trace) if hidden is None else hidden,
            trace.visual_tokens,
            trace.patch_features[layers],
        )

    def ablation(
        self, trace: Trace, step: int, tokens: Sequence[int], draws: int = 5, seed: int = 0
    ) -> AblationCheck:
        """Did a word of the answer need these visual tokens, more than as many that are drawn by
        chance?
        """
        said = self._said(trace, step)
        return ablation.check(
            lambda changed: float(self.score(changed, said)[-1]), trace, tokens, draws, seed
        )

    def sweep(
        self,
        trace: Trace,
        step: int,
        windows: Sequence[tuple[int, int]] | None = None,
        paths: Sequence[str] = tuple(knockout.PATHS),
        token_id: int | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Sweep:
        """By which way a word of the answer comes from the picture: its attention cut path by path
        and window by window of layers.

        Args:
            token_id: another word in the place of the one that was said.
        """
        said = self._said(trace, step)
        over = knockout.windows(self.language_layers) if windows is None else windows
        return knockout.sweep(
            self.network,
            self._going_on(trace, said[:-1]),
            trace,
            said[-1] if token_id is None else token_id,
            over,
            paths,
            progress,
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The ways from one part of the sequence to another that `cut` and `sweep` know."""
        return tuple(knockout.PATHS)

    def cut(self, trace: Trace, path: str, first: int, last: int) -> Callable[[], Masking]:
        """Attention cut along one of `paths` in layers `first` to `last` (1 is the first layer),
        for `intervene`.

        Raises:
            ModelError: there is no such path or window.
        """
        if not 1 <= first <= last <= self.language_layers:
            raise ModelError(
                f"Layers {first} to {last} are no window; give two of the {self.language_layers}"
                " layers, counted from 1, the earlier one first."
            )
        cut = knockout.Cut.path(trace, path, first, last)
        crossing = architecture.crossing(self.network)
        return lambda: knockout.Knockout([cut], crossing)

    def drop(self, trace: Trace, layer: int, share: float = 0.5) -> Callable[[], Masking]:
        """FastV for `intervene`: after `layer` nobody reads the `share` of the visual tokens that
        was looked at least in it.

        Raises:
            ModelError: there is no such layer or share.
        """
        if not 1 <= layer <= self.language_layers or not 0 <= share <= 1:
            raise ModelError(
                f"Nothing can drop a share of {share} after layer {layer}; give a share from 0 to 1"
                f" and one of the {self.language_layers} layers, counted from 1."
            )
        positions, crossing = trace.visual_tokens.positions, architecture.crossing(self.network)
        places = (
            architecture.places_beside(trace.language_inputs, trace.sight.inputs)
            if positions is None
            else positions
        )
        return lambda: knockout.FastV(places.tolist(), layer, share, crossing)

    @torch.inference_mode()
    def begins(
        self, trace: Trace, word: str, masking: Callable[[], Masking] | None = None
    ) -> float:
        """The probability that the answer begins with a word: with any vocabulary entry that begins
        it, after a space or not, with a capital or not.

        Raises:
            QuestionError: there is no word, or this tokenizer cuts it too small.
        """
        ids = word_ids(self.processor.tokenizer, word)
        with masked(masking):
            logits = self.prefill(trace).logits
        return float(logits.softmax(-1)[list(ids)].sum())

    def beginnings(self, word: str) -> tuple[str, ...]:
        """What `begins` counts for a word: it, and where the tokenizer cuts it, its first piece,
        which other words may begin with too.
        """
        return tuple(
            dict.fromkeys(
                self.token_string(number).strip()
                for number in word_ids(self.processor.tokenizer, word)
            )
        )

    def again(
        self,
        trace: Trace,
        changed: Trace | None = None,
        masking: Callable[[], Masking] | None = None,
        decoding: Decoding = Decoding(),
    ) -> tuple[Float[np.ndarray, " words"], Float[np.ndarray, " words"], Iterator[Step]]:
        """`intervene` as it comes: the log-probability (nats) of each word of the old answer before
        and after, and the new answer, streamed.

        Both are computed in one pass of the same kind, so that no change is no difference, bit for
        bit.
        """
        changed, said = changed or replace(trace, steps=()), [step.token_id for step in trace.steps]
        before = self.score(trace, said)
        with masked(masking):
            after = self.score(changed, said)
        steps = self.decode(changed, decoding)
        return before, after, under(masking(), steps) if masking else steps

    def intervene(
        self,
        trace: Trace,
        changed: Trace | None = None,
        masking: Callable[[], Masking] | None = None,
        decoding: Decoding = Decoding(),
    ) -> Intervention:
        """Change the visual tokens of an answered trace, or what may be looked at, and answer
        again.

        Args:
            changed: from `vlm.token_changes`, for example `experiments.remove(trace, tokens)`; None
                leaves the tokens as they are.
            masking: makes a cut, for example `model.cut(trace, "picture → answer", 10, 15)`; None
                cuts nothing.
        """
        changed = changed or replace(trace, steps=())
        before, after, steps = self.again(trace, changed, masking, decoding)
        return Intervention(changed.with_steps(steps), before, after)

    def _said(self, trace: Trace, step: int) -> list[int]:
        """The words of the answer up to one of them."""
        if not 0 <= step < len(trace.steps):
            raise ModelError(
                f"The answer has no word {step}; it has {len(trace.steps)}, counted from 0."
            )
        return [each.token_id for each in trace.steps[: step + 1]]

    def _going_on(self, trace: Trace, said: Sequence[int]) -> dict[str, Any]:
        """What g_phi is called with for VT + TT and the beginning of an answer."""
        embed = self.network.get_input_embeddings()
        return continued(
            self.language_inputs(trace),
            embed(torch.tensor([list(said)], dtype=torch.long, device=self.network.device)),
        )


def _beside(trace: Trace) -> Mapping[str, torch.Tensor] | None:
    """What the encoder was given, if the visual tokens stand beside the sequence."""
    return trace.sight.inputs if trace.visual_tokens.positions is None else None
