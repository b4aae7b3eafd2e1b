"""One run under inspection: the one door to everything that looks inside a trace.

    look = model.inspect(trace)
    look.logit_lens(token=20), look.relevancy(step=0), look.sinks().tokens
    look.rerun(Remove([3, 7]), Cut("picture", "question", layers=range(10, 15))).trace.answer

Each instrument is a function of its own module, which takes what it needs. Here they are composed,
and what several of them need (the prefill, the states inside the language model, the lens table,
the attention of the answer, the sinks) is computed when it is first asked for, once, and held until
the inspector goes or holds too much.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from vlm.backends import text_model
from vlm.errors import ModelError
from vlm.inspect import ablation, contextual_lens, knockout, lens, registers, self_check, sinks
from vlm.inspect.ablation import AblationCheck
from vlm.inspect.answer_attention import WordAttention, word_attention
from vlm.inspect.contextual_lens import ContextualIndex, Nearest
from vlm.inspect.held import HELD, Held, Holder, Key
from vlm.inspect.interventions import PATHS, Intervention, TokenChange, apply_changes
from vlm.inspect.knockout import Masking, Sweep, masked, under
from vlm.inspect.lens import LensTable, Reading
from vlm.inspect.registers import NEURONS, Registered
from vlm.inspect.relevancy import relevancy
from vlm.inspect.self_check import Comparison
from vlm.inspect.sinks import Sinks
from vlm.inspect.token_changes import Rerun
from vlm.pipeline.vision_encoder import EncoderAttention, encoder_attention
from vlm.records.text_tokens import first_token, token_string, word_beginnings, word_ids
from vlm.records.trace import Decoding, Step, Trace

if TYPE_CHECKING:
    from vlm.pipeline.model import Prefill, VisionLanguageModel

BLOCK = 12  # visual tokens whose lens is read at a time
WORDS = 5  # words of each that a block holds at least


@dataclass(frozen=True)
class RunningAgain:
    """A changed run whose new answer is on its way.

    Attributes:
        trace: as changed, before its answer.
        before, after: as in `Rerun`.
        steps: the new answer, streamed; it can be gone through once.
    """

    trace: Trace
    before: Float[np.ndarray, " words"]
    after: Float[np.ndarray, " words"]
    steps: Iterator[Step]

    def finish(self) -> Rerun:
        """Answer to the end."""
        return Rerun(self.trace.with_steps(self.steps), self.before, self.after)


class Inspector:
    """A model and one of its traces, looked into.

    Several threads may ask at once; what they share is computed by the first of them.

    Args:
        model: the one that made the trace.
        limit: bytes that are held at most; what was used least recently goes first.
        held: another place to hold things in, such as one that several inspectors share; it bounds
            itself. What is held depends on the photos, the prompt and what its `Key` says.

    Attributes:
        model, trace: as given.
    """

    def __init__(
        self,
        model: "VisionLanguageModel",
        trace: Trace,
        limit: int = HELD,
        held: Holder | None = None,
    ) -> None:
        self.model, self.trace = model, trace
        self._held = Held(limit) if held is None else held

    # What the instruments share.

    def prefill(self) -> "Prefill":
        """What the language model keeps of VT + TT: any number of answers can start from it."""
        return self._held.get(Key("prefill"), lambda: self.model.prefill(self.trace, hidden=True))

    def hidden_states(self) -> Float[np.ndarray, "layers S D"]:
        """VT + TT inside the language model: row 0 is what goes in, row k the output of layer k;
        the last one is after the final norm.
        """
        if self.model.keeps_hidden(self.trace):
            hidden = self.prefill().hidden
            if hidden is not None:
                return hidden
        return self._held.get(
            Key("hidden states"),
            lambda: text_model.hidden_states(
                self.model.network, self.model.language_inputs(self.trace)
            ),
        )

    @property
    def positions(self) -> Int[np.ndarray, " V"]:
        """Where the visual tokens stand in the sequence.

        Raises:
            ModelError: nowhere, the model reads them beside it.
        """
        positions = self.trace.visual_tokens.positions
        if positions is None:
            raise ModelError(
                "This model reads its visual tokens by cross-attention; they have no positions in"
                " the sequence, and no states there that a lens could read."
            )
        return positions

    def answer_attention(self) -> WordAttention:
        """What each word of the answer looked at, by layer and head, and its rollout: one pass over
        VT + TT and the answer.

        Of a model that reads its visual tokens beside the sequence, what its layers of
        cross-attention looked at among them.
        """
        said = self._said()
        return self._held.get(
            Key("answer attention", said),
            lambda: word_attention(
                self.model.network,
                self.model.language_inputs(self.trace, said[:-1]),
                len(self.trace.input_ids),
                len(said),
                self._beside(),
            ),
        )

    def encoder_attention(self) -> EncoderAttention:
        """Who looks at whom in every layer of the vision encoder: one more encoder pass.

        Raises:
            ModelError: the encoder has no attention between patches.
        """
        encoded_image = self.trace.encoded_image

        @torch.inference_mode()
        def make() -> EncoderAttention:
            inputs = self.model.on_device(encoded_image.inputs)
            return encoder_attention(self.model.network, inputs, len(encoded_image.patches.places))

        return self._held.get(Key("encoder attention", of_photos=True), make)

    def sinks(self) -> Sinks:
        """Positions at which attention is parked, in the language model and in the encoder."""
        trace = self.trace
        layers = [
            layer
            for layer in trace.encoded_image.output_layers
            if layer < len(trace.patch_features)
        ]
        return self._held.get(
            Key("sinks"),
            lambda: sinks.find(
                self.hidden_states(), trace.visual_tokens, trace.patch_features[layers]
            ),
        )

    # Lenses.

    def embedding_lens(
        self, tokens: Sequence[int] | None = None, count: int = WORDS
    ) -> tuple[tuple[Reading, ...], ...]:
        """For each visual token the `count` vocabulary entries whose input embedding points most
        nearly the same way, each with its cosine.

        Args:
            tokens: numbers of visual tokens; None is all.
        """
        rows = self.trace.visual_tokens.embeddings
        rows = rows if tokens is None else rows[list(tokens)]
        return lens.embedding_lens(self.model.network, self.model.processor.tokenizer, rows, count)

    def logit_lens(
        self, token: int | None = None, *, position: int | None = None, count: int = WORDS
    ) -> tuple[tuple[Reading, ...], ...]:
        """What a visual token "says" at every layer: the `count` most probable next tokens if the
        language model stopped there, with their probabilities.

        Args:
            token: the number of a visual token.
            position: any position of the sequence, in the place of a token.

        Raises:
            ModelError: there is no such token or position, or the tokens stand beside the sequence.
        """
        hidden = self.hidden_states()[:, self._position(token, position)]
        return lens.logit_lens(self.model.network, self.model.processor.tokenizer, hidden, count)

    def logit_lens_at(self, layer: int, count: int = WORDS) -> tuple[tuple[Reading, ...], ...]:
        """What each visual token "says" after a layer (0: as it goes in): the `count` most probable
        next tokens, with their probabilities.

        Raises:
            ModelError: there is no such layer, or the tokens stand beside the sequence.
        """
        positions, hidden = self.positions, self.hidden_states()
        if not 0 <= layer < len(hidden):
            raise ModelError(
                f"There is no layer {layer}; there are {len(hidden) - 1}, counted from 1, and 0 is"
                " what goes in."
            )
        # the last row of a table is the last layer's
        states = hidden[sorted({layer, len(hidden) - 1})][:, positions]
        table = lens.table(self.model.network, states, count)
        tokenizer = self.model.processor.tokenizer
        return tuple(
            tuple(
                (token_string(tokenizer, int(number)), float(chance))
                for number, chance in zip(*row)
            )
            for row in zip(table.token_ids[0], table.probabilities[0])
        )

    def contextual_lens(
        self,
        token: int | None = None,
        *,
        position: int | None = None,
        count: int = WORDS,
        index: ContextualIndex | None = None,
    ) -> tuple[tuple[Nearest, ...], ...]:
        """For each layer but the last, whose states are normed: the phrases whose last word has the
        state most similar to that of a visual token, at any kept layer.

        Args:
            token, position: as in `logit_lens`.
            index: by default the one of this model, see `vlm.inspect.contextual_lens`.

        Raises:
            ModelError: as `logit_lens`; or there is no index for this model, or it was made with
                other weights.
        """
        states = self.hidden_states()[:-1, self._position(token, position)]
        return (index or contextual_lens.load(self.model)).nearest(states, count)

    def lens_table(self, tokens: range | None = None, count: int = WORDS) -> LensTable:
        """The logit lens of visual tokens at every layer: the most probable words, and what turns
        any word's logit into its probability. Read and held in blocks of `BLOCK` tokens.

        Args:
            tokens: first to last number of visual tokens, without a gap; None is all.

        Raises:
            ModelError: the tokens stand beside the sequence, or there are none such.
        """
        every = range(len(self.positions))
        tokens = every if tokens is None else tokens
        if tokens.step != 1 or not tokens or tokens[0] < 0 or tokens[-1] not in every:
            raise ModelError(
                f"There are {len(every)} visual tokens, counted from 0; {tokens} is no range of"
                " them."
            )
        first = tokens[0] // BLOCK
        blocks = [self._lens_block(at, count) for at in range(first, tokens[-1] // BLOCK + 1)]
        mine = slice(tokens[0] - first * BLOCK, tokens[-1] + 1 - first * BLOCK)
        return LensTable(
            *(
                np.concatenate(parts, axis=1)[:, mine]
                for parts in (
                    [block.token_ids[..., :count] for block in blocks],
                    [block.probabilities[..., :count] for block in blocks],
                    [block.normaliser for block in blocks],
                )
            )
        )

    def word_probabilities(self, token_ids: Sequence[int]) -> Float[np.ndarray, "layers V words"]:
        """Where the picture "says" some vocabulary entries: their probability by the logit lens at
        every layer and visual token.

        Raises:
            ModelError: the tokens stand beside the sequence.
        """
        hidden, positions = self.hidden_states(), self.positions
        return np.concatenate(
            [
                lens.word_probabilities(
                    self.model.network,
                    hidden[:, positions[start : start + BLOCK]],
                    self._lens_block(start // BLOCK, WORDS),
                    token_ids,
                )
                for start in range(0, len(positions), BLOCK)
            ],
            axis=1,
        )

    def word_map(self, word: str) -> tuple[str, Float[np.ndarray, "layers V"]]:
        """Where the picture "says" a word, at every layer: its first token, and the probability of
        that by the logit lens at every visual token.

        Raises:
            QuestionError: the word is empty.
            ModelError: the tokens stand beside the sequence.
        """
        token_id = first_token(self.model.processor.tokenizer, word)
        values = self.word_probabilities([token_id])[..., 0]
        return self.model.token_string(token_id), values

    # What a word of the answer was read from, and what it needs.

    def rollout(self, step: int) -> Float[np.ndarray, " positions"]:
        """What one word has read of every position by way of all layers, see
        `WordAttention.rollout`.

        Raises:
            ModelError: there is no such word.
        """
        self._said(step)
        attention = self.answer_attention()
        return self._held.get(
            Key("rollout", (step, *self._said())), lambda: attention.rollout(step)
        )

    def relevancy(self, step: int) -> Float[np.ndarray, " positions"]:
        """What one word of the answer hangs on: gradient x attention relevancy of every position
        before it, never negative.

        After the positions come the visual tokens that stand beside the sequence, if they do.

        Raises:
            ModelError: there is no such word.
        """
        said = self._said(step)
        return self._held.get(
            Key("relevancy", said),
            lambda: relevancy(
                self.model.network,
                self.model.language_inputs(self.trace, said[:-1]),
                said[-1],
                self._beside(),
            ),
        )

    def ablation(
        self, step: int, tokens: Sequence[int], draws: int = 5, seed: int = 0
    ) -> AblationCheck:
        """Did a word of the answer need these visual tokens, more than as many that are drawn by
        chance?

        Raises:
            ModelError: there is no such word or token.
        """
        said = self._said(step)

        def score(changed: Trace) -> float:
            prefill = self.prefill() if changed is self.trace else None
            return float(self.model.score(changed, said, prefill)[-1])

        return ablation.check(score, self.trace, tokens, draws, seed)

    def sweep(
        self,
        step: int,
        windows: Sequence[tuple[int, int]] | None = None,
        paths: Sequence[str] = tuple(PATHS),
        token_id: int | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Sweep:
        """By which way a word of the answer comes from the picture: its attention cut path by path
        and window by window of layers.

        Args:
            paths: names in `vlm.PATHS`.
            token_id: another word in the place of the one that was said.

        Raises:
            ModelError: there is no such word or path.
        """
        said = self._said(step)
        over = knockout.windows(self.model.language_layers) if windows is None else windows
        return knockout.sweep(
            self.model.network,
            self.model.language_inputs(self.trace, said[:-1]),
            self.trace,
            said[-1] if token_id is None else token_id,
            over,
            paths,
            progress,
        )

    def registers(
        self, outliers: Bool[np.ndarray, " N"], layer: int, count: int = NEURONS
    ) -> Registered:
        """Move what makes these patches outliers after a layer of the encoder to an extra token.

        Raises:
            ModelError: the encoder takes no extra token.
        """
        return registers.move(self.model, self.trace.encoded_image, outliers, layer, count)

    # Interventions: what becomes of the answer if something is changed.

    def change(self, *interventions: Intervention) -> Trace:
        """Give the trace with its visual tokens changed, before its answer.

        Raises:
            ModelError: a change that cannot be made.
        """
        return apply_changes(self.trace, interventions)

    def masking(self, *interventions: Intervention) -> Callable[[], Masking] | None:
        """Make what makes the masking of one answer, of cuts and drops; None if there are none.

        Raises:
            ModelError: a cut or drop that cannot be made.
        """
        cuts = [each for each in interventions if not isinstance(each, TokenChange)]
        if not cuts:
            return None
        return knockout.mask_attention(self.model.network, self.trace, cuts)

    def score(
        self, token_ids: Sequence[int], *interventions: Intervention
    ) -> Float[np.ndarray, " tokens"]:
        """The log-probability (nats) that each of these tokens has as the next one after the prompt
        and those before it, with everything changed that is given.

        Raises:
            ModelError: a change that cannot be made.
        """
        changed, masking = self.change(*interventions), self.masking(*interventions)
        with masked(masking):
            return self.model.score(changed, token_ids, self._prefill_of(changed, masking))

    def decode(
        self, *interventions: Intervention, decoding: Decoding = Decoding()
    ) -> Iterator[Step]:
        """Stream an answer, with everything changed that is given.

        Raises:
            ModelError: a change that cannot be made.
        """
        changed, masking = self.change(*interventions), self.masking(*interventions)
        steps = self.model.decode(changed, decoding, self._prefill_of(changed, masking))
        return under(masking(), steps) if masking else steps

    def run_again(
        self, *interventions: Intervention, decoding: Decoding = Decoding()
    ) -> RunningAgain:
        """Change an answered run: what the words of its old answer are worth now at once, the new
        answer as it comes.

        Both scores are computed in passes of the same kind, so that no change is no difference, bit
        for bit.

        Raises:
            ModelError: a change that cannot be made.
        """
        said = self._said()
        return RunningAgain(
            self.change(*interventions).with_steps(()),
            self.score(said),
            self.score(said, *interventions),
            self.decode(*interventions, decoding=decoding),
        )

    def rerun(self, *interventions: Intervention, decoding: Decoding = Decoding()) -> Rerun:
        """Change an answered run, and answer again: see `run_again`.

        Raises:
            ModelError: a change that cannot be made.
        """
        return self.run_again(*interventions, decoding=decoding).finish()

    def begins(self, word: str, *interventions: Intervention) -> float:
        """The probability that the answer begins with a word: with any vocabulary entry that begins
        it, after a space or not, with a capital or not.

        Raises:
            QuestionError: there is no word, or this tokenizer cuts it too small.
            ModelError: a change that cannot be made.
        """
        ids = word_ids(self.model.processor.tokenizer, word)
        changed, masking = self.change(*interventions), self.masking(*interventions)
        with masked(masking):
            read = self._prefill_of(changed, masking) or self.model.prefill(changed)
        return float(read.logits.softmax(-1)[list(ids)].sum())

    def beginnings(self, word: str) -> tuple[str, ...]:
        """What `begins` counts for a word: it, and where the tokenizer cuts it, its first piece,
        which other words may begin with too.
        """
        return word_beginnings(self.model.processor.tokenizer, word)

    # The page against the model itself.

    def self_check(self) -> Iterator[Comparison]:
        """Compare what is shown with what the model computes by itself, one by one, each with the
        difference that is allowed: stages and logits, the logit lens, recorded attention and the
        boxes on this photo.
        """
        return self_check.compare(self)

    def _said(self, step: int | None = None) -> tuple[int, ...]:
        """The words of the answer, up to one of them.

        Raises:
            ModelError: there is no such word.
        """
        steps = self.trace.steps
        if step is not None and not 0 <= step < len(steps):
            raise ModelError(f"The answer has no word {step}; it has {len(steps)}, counted from 0.")
        return tuple(each.token_id for each in steps[: None if step is None else step + 1])

    def _position(self, token: int | None, position: int | None) -> int:
        """Where a visual token stands, or a position that is there.

        Raises:
            ModelError: neither is given, or both, or it is not there.
        """
        if (token is None) == (position is None):
            raise ModelError("Give the number of a visual token or a position, one of the two.")
        count = len(self.trace.input_ids) if token is None else len(self.positions)
        number = position if token is None else token
        if not 0 <= number < count:
            what = "position" if token is None else "visual token"
            raise ModelError(f"There is no {what} {number}; there are {count}, counted from 0.")
        return number if token is None else int(self.positions[number])

    def _lens_block(self, number: int, count: int) -> LensTable:
        """The lens table of `BLOCK` visual tokens, with `count` words each or more."""
        count = max(count, WORDS)
        positions = self.positions[number * BLOCK : (number + 1) * BLOCK]
        return self._held.get(
            Key("lens table", (number, count)),
            lambda: lens.table(self.model.network, self.hidden_states()[:, positions], count),
        )

    def _prefill_of(
        self, changed: Trace, masking: Callable[[], Masking] | None
    ) -> "Prefill | None":
        """What was read already, if nothing is changed."""
        return self.prefill() if changed is self.trace and masking is None else None

    def _beside(self) -> Mapping[str, torch.Tensor] | None:
        """What the encoder was given, if the visual tokens stand beside the sequence."""
        positions = self.trace.visual_tokens.positions
        return self.trace.encoded_image.inputs if positions is None else None
