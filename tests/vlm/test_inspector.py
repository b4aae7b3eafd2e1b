"""What instruments share is computed once, held within its bound, and let go with the inspector;
interventions are values that give what the functions give, bit for bit.
"""

import gc
import pickle
import threading
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import vlm
from tests.families import tiny_family
from tests.tiny import photo
from vlm.backends import architecture, text_model
from vlm.inspect import lens, token_changes
from vlm.inspect.held import Held
from vlm.inspect.inspector import BLOCK, Inspector
from vlm.inspect.interventions import PATHS, Cut, Drop, Keep, Paste, Remove, Rescale, Shuffle
from vlm.inspect.knockout import FastV, HiddenKeys, Knockout, masked, under

QUESTION = "What is in this image?"
SHORT = vlm.Decoding(max_new_tokens=5)
MEBIBYTE = 2**20


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, SHORT)


@pytest.fixture
def look(tiny_model, trace):
    return tiny_model.inspect(trace)


@contextmanager
def counted(model):
    """How often the language model and the vision encoder run, by the length of what they read."""
    passes = {"language": [], "encoder": 0}

    def language(module, arguments, named):
        passes["language"].append(named["inputs_embeds"].shape[1])

    def encoder(module, arguments, named):
        passes["encoder"] += 1

    hooks = [
        text_model.language_trunk(model.network).register_forward_pre_hook(
            language, with_kwargs=True
        ),
        architecture.vision_tower(model.network).register_forward_pre_hook(
            encoder, with_kwargs=True
        ),
    ]
    # found by letting a word pass, once a model
    text_model.final_norm(model.network)
    passes["language"].clear()
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def said(steps) -> list[tuple[int, float]]:
    return [(step.token_id, step.log_probability) for step in steps]


def ids(trace) -> list[int]:
    return [step.token_id for step in trace.steps]


def test_one_pass_serves_every_lens_the_sinks_and_the_first_word(tiny_model, trace, look):
    with counted(tiny_model) as passes:
        look.logit_lens(3), look.logit_lens(position=0), look.logit_lens_at(2)
        look.lens_table(), look.word_map("dog"), look.sinks(), look.hidden_states()
        look.begins("cat"), look.prefill()
        assert passes["language"] == [len(trace.input_ids)]
        look.score(ids(trace)), look.score(ids(trace)[:1])  # what was read is read no more
        assert passes["language"] == [len(trace.input_ids), len(trace.steps) - 1]
        assert passes["encoder"] == 0


def test_what_a_word_looked_at_is_one_pass_and_so_is_the_encoders_attention(
    tiny_model, trace, look
):
    with counted(tiny_model) as passes:
        look.answer_attention(), look.rollout(0), look.rollout(0), look.answer_attention()
        assert passes == {"language": [len(trace.input_ids) + len(trace.steps) - 1], "encoder": 0}
        look.relevancy(1), look.relevancy(1)
        assert passes["language"][1:] == [len(trace.input_ids) + 1]
        look.encoder_attention(), look.encoder_attention()
        assert passes["encoder"] == 1


def test_two_threads_that_ask_at_once_wait_for_one_pass(tiny_model, trace):
    look, found = tiny_model.inspect(trace), []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        found.append((look.hidden_states(), look.answer_attention(), look.sinks()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    with counted(tiny_model) as passes:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(passes["language"]) == [
        len(trace.input_ids),
        len(trace.input_ids) + len(trace.steps) - 1,
    ]
    assert all(one is other for each in found for one, other in zip(each, found[0]))


def test_what_is_held_stays_within_its_bound_and_the_oldest_goes_first():
    held, made = Held(3 * MEBIBYTE), []

    def get(key: str, size: int = MEBIBYTE) -> np.ndarray:
        return held.get(key, lambda: made.append(key) or np.zeros(size, np.uint8))

    get("a"), get("b"), get("c")
    shared = get("a")
    held.get("a view", lambda: made.append("a view") or shared[5:])  # of what is there already
    assert held.size == 3 * MEBIBYTE
    get("d")  # b was used least recently
    get("a"), get("c"), get("d"), held.get("a view", list)
    assert made == ["a", "b", "c", "a view", "d"] and held.size == 3 * MEBIBYTE
    get("b")
    assert made[-1] == "b" and held.size <= 3 * MEBIBYTE
    get("too large", 4 * MEBIBYTE), get("too large", 4 * MEBIBYTE)
    assert made[-2:] == ["too large"] * 2 and held.size <= 3 * MEBIBYTE


def test_a_value_that_could_not_be_made_is_asked_for_again():
    held = Held(MEBIBYTE)
    with pytest.raises(ZeroDivisionError):
        held.get("key", lambda: 1 // 0)
    assert held.get("key", lambda: "made") == "made"


def test_an_inspector_with_no_room_says_the_same(tiny_model, trace, look):
    little = tiny_model.inspect(trace, limit=0)
    np.testing.assert_array_equal(little.hidden_states(), look.hidden_states())
    for table, other in zip(vars(little.lens_table()).values(), vars(look.lens_table()).values()):
        np.testing.assert_array_equal(table, other)
    np.testing.assert_array_equal(little.relevancy(1), look.relevancy(1))
    assert little._held.size == 0 and look._held.size > 0


def test_what_is_held_goes_with_the_inspector_and_no_weight_is_counted(tiny_model, trace):
    look = tiny_model.inspect(trace)
    gone = [
        weakref.ref(each)
        for each in (
            look.prefill(),
            look.answer_attention(),
            look.encoder_attention(),
            look.sinks(),
        )
    ]
    weights = {key for part in tiny_model.network.parameters() for key in vlm.storages(part)}
    for kept in look._held._kept.values():
        assert not weights & set(kept.storages)
    del look, kept
    gc.collect()
    assert [each() for each in gone] == [None] * 4


def test_several_inspectors_can_hold_in_one_place(tiny_model, trace):
    held = Held(2**30)
    first = Inspector(tiny_model, trace, held=held)
    longer = tiny_model.trace(trace.encoded_image.image, QUESTION, vlm.Decoding(max_new_tokens=7))
    second = Inspector(tiny_model, longer, held=held)
    assert second.hidden_states() is first.hidden_states()  # the prompt is the same
    assert first.answer_attention().words == 5 and second.answer_attention().words == 7


@pytest.mark.parametrize("family", ["clip", "mllama"])
def test_a_trace_is_data_that_pickles_and_can_be_looked_into_again(
    family, tiny_model, tmp_path, wide_photo
):
    model = tiny_model if family == "clip" else vlm.load(tiny_family(tmp_path, family))
    trace = model.trace(wide_photo, QUESTION, SHORT)
    again = pickle.loads(pickle.dumps(trace))
    assert ids(again) == ids(trace)
    np.testing.assert_array_equal(
        model.inspect(again).relevancy(1), model.inspect(trace).relevancy(1)
    )
    np.testing.assert_array_equal(
        model.inspect(again).hidden_states(), model.inspect(trace).hidden_states()
    )


def test_a_trace_keeps_no_model_in_memory(tiny_model, wide_photo):
    import copy

    model = copy.copy(tiny_model)
    trace, gone = model.trace(wide_photo, QUESTION, SHORT), weakref.ref(model)
    model.inspect(trace).sinks()
    del model
    gc.collect()
    assert gone() is None and trace.answer


def test_the_lenses_are_those_of_their_module(tiny_model, trace, look):
    network, tokenizer = tiny_model.network, tiny_model.processor.tokenizer
    hidden, positions = look.hidden_states(), trace.visual_tokens.positions
    np.testing.assert_array_equal(
        hidden, text_model.hidden_states(network, tiny_model.language_inputs(trace))
    )
    rows = trace.visual_tokens.embeddings
    assert look.embedding_lens(count=3) == lens.embedding_lens(network, tokenizer, rows, 3)
    assert look.embedding_lens([5], 2) == lens.embedding_lens(network, tokenizer, rows[5:6], 2)
    assert look.logit_lens(3, count=4) == lens.logit_lens(
        network, tokenizer, hidden[:, positions[3]], 4
    )
    assert look.logit_lens(3) == look.logit_lens(position=int(positions[3]))
    whole = lens.table(network, hidden[:, positions], 3)
    for tokens in (None, range(2, 5), range(BLOCK - 2, BLOCK + 3), range(15, 16)):
        mine, part = look.lens_table(tokens, 3), tokens or range(len(positions))
        np.testing.assert_array_equal(mine.token_ids, whole.token_ids[:, part])
        np.testing.assert_allclose(mine.probabilities, whole.probabilities[:, part], rtol=1e-5)
        np.testing.assert_allclose(mine.normaliser, whole.normaliser[:, part], rtol=1e-5)
    np.testing.assert_allclose(
        look.word_probabilities([3, 8]),
        lens.word_probabilities(network, hidden[:, positions], whole, [3, 8]),
        rtol=1e-5,
    )
    assert look.lens_table(range(3), 9).token_ids.shape[2] == 9


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda look: look.logit_lens(), "one of the two"),
        (lambda look: look.logit_lens(3, position=4), "one of the two"),
        (lambda look: look.logit_lens(16), "no visual token 16; there are 16"),
        (lambda look: look.contextual_lens(-1), "no visual token -1"),
        (lambda look: look.logit_lens(position=9999), "no position 9999"),
        (lambda look: look.logit_lens_at(4), "no layer 4"),
        (lambda look: look.logit_lens_at(-1), "no layer -1"),
        (lambda look: look.lens_table(range(10, 20)), "no range"),
        (lambda look: look.lens_table(range(0, 4, 2)), "no range"),
        (lambda look: look.rollout(5), "no word 5; it has 5"),
        (lambda look: look.relevancy(-1), "no word -1"),
        (lambda look: look.ablation(9, [1]), "no word 9"),
        (lambda look: look.sweep(0, paths=["answer → picture"]), "choose one of"),
        (lambda look: look.rerun(Cut("picture", "answer", range(2, 9))), "counted from 1"),
        (lambda look: look.rerun(Cut("picture", "answer", range(2, 2))), "no window"),
        (lambda look: look.rerun(Drop(99)), "counted from 1"),
        (lambda look: look.rerun(Drop(1, 1.5)), "from 0 to 1"),
        (lambda look: look.rerun(Remove([16])), "no visual token 16"),
        (lambda look: Cut("answer", "picture"), "choose one of"),
        (lambda look: Cut("picture", "answer", range(1, 4, 2)), "without a gap"),
        (lambda look: Cut.along("answer → picture"), "choose one of"),
    ],
)
def test_what_cannot_be_asked_is_named(look, ask, reason):
    with pytest.raises(vlm.ModelError, match=reason):
        ask(look)


def test_a_picture_beside_the_sequence_has_no_lens_and_says_so(tmp_path, wide_photo):
    model = vlm.load(tiny_family(tmp_path, "mllama"))
    look = model.inspect(model.trace(wide_photo, QUESTION, SHORT))
    for ask in (look.lens_table, lambda: look.logit_lens(0), lambda: look.logit_lens_at(1)):
        with pytest.raises(vlm.ModelError, match="cross-attention"):
            ask()
    tokens = len(look.trace.visual_tokens.embeddings)
    assert len(look.embedding_lens()) == tokens
    assert look.answer_attention().weights(1).shape[2] == tokens


CHANGES = {
    "remove": (Remove([3, 7]), lambda trace, other: token_changes.remove(trace, [3, 7])),
    "zero": (Remove([3], "zero"), lambda trace, other: token_changes.remove(trace, [3], "zero")),
    "noise": (
        Remove(range(4), "noise", 5),
        lambda trace, other: token_changes.remove(trace, range(4), "noise", 5),
    ),
    "keep": (Keep([3, 7]), lambda trace, other: token_changes.keep(trace, [3, 7])),
    "shuffle": (Shuffle(3), lambda trace, other: token_changes.shuffle(trace, 3)),
    "rescale": (Rescale(0.5), lambda trace, other: token_changes.rescale(trace, 0.5)),
}


def assert_same(mine, changed, model, trace, masking=None):
    """A rerun against the functions: the trace, the answer and both scores, bit for bit."""
    np.testing.assert_array_equal(mine.trace.inputs_embeds, changed.inputs_embeds)
    steps = model.decode(changed, SHORT)
    assert said(mine.trace.steps) == said(under(masking(), steps) if masking else steps)
    np.testing.assert_array_equal(mine.before, model.score(trace, ids(trace)))
    with masked(masking):
        np.testing.assert_array_equal(mine.after, model.score(changed, ids(trace)))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_tokens_is_that_of_its_function(tiny_model, trace, look, name):
    value, function = CHANGES[name]
    changed = function(trace, None)
    assert_same(look.rerun(value, decoding=SHORT), changed, tiny_model, trace)
    assert (changed.inputs_embeds != trace.inputs_embeds).any()


def test_tokens_of_another_run_are_pasted_as_their_function_does(tiny_model, trace, look):
    other = tiny_model.encode(photo(90, 150, seed=4), QUESTION)
    changed = token_changes.paste(trace, [4, 5], other)
    assert_same(look.rerun(Paste([4, 5], other), decoding=SHORT), changed, tiny_model, trace)


@pytest.mark.parametrize("path", PATHS)
def test_a_cut_is_the_knockout_of_its_positions(tiny_model, trace, look, path):
    def masking() -> Knockout:
        return Knockout([HiddenKeys.between(trace, *PATHS[path], 2, 3)], ())

    source, target = PATHS[path]
    for cut in (Cut(source, target, range(2, 4)), Cut.along(path, range(2, 4))):
        assert_same(look.rerun(cut, decoding=SHORT), trace, tiny_model, trace, masking)
    everywhere = look.rerun(Cut(source, target), decoding=SHORT)
    whole = look.rerun(Cut(source, target, range(1, 4)), decoding=SHORT)
    np.testing.assert_array_equal(everywhere.after, whole.after)


def test_a_drop_is_fastv(tiny_model, trace, look):
    picture = trace.visual_tokens.positions.tolist()
    mine = look.rerun(Drop(1, 0.75), decoding=SHORT)
    assert_same(mine, trace, tiny_model, trace, lambda: FastV(picture, 1, 0.75, ()))
    assert not np.array_equal(mine.after, mine.before)


def test_interventions_compose_in_any_number(tiny_model, trace, look):
    """Tokens change one after the other; cuts and drops hide what each of them hides."""
    picture = trace.visual_tokens.positions.tolist()
    changed = token_changes.rescale(token_changes.remove(trace, [3, 7]), 0.5)
    cuts = [
        HiddenKeys.between(trace, "picture", "question", 1, 2),
        HiddenKeys.between(trace, "question", "answer", 3, 3),
    ]
    given = Remove([3, 7]), Cut("picture", "question", range(1, 3)), Rescale(0.5)
    given = *given, Cut("question", "answer", range(3, 4))
    both = look.rerun(*given, decoding=SHORT)
    assert_same(both, changed, tiny_model, trace, lambda: Knockout(cuts, ()))

    # what a drop hides, hidden by positions beside the cut
    fast = FastV(picture, 1, 0.5, ())
    list(under(fast, tiny_model.decode(trace, SHORT)))
    everyone = tuple(range(len(trace.input_ids)))
    dropped = HiddenKeys(tuple(fast.dropped.tolist()), everyone, 2, 3, len(trace.input_ids))
    cut = HiddenKeys.between(trace, "picture", "question", 2, 3)
    mine = look.rerun(Drop(1, 0.5), Cut("picture", "question", range(2, 4)), decoding=SHORT)
    assert_same(mine, trace, tiny_model, trace, lambda: Knockout([dropped, cut], ()))


def test_nothing_changed_is_no_difference_bit_for_bit(tiny_model, trace, look):
    for nothing in ((), (Remove([]),), (Rescale(1.0),), (Drop(1, 0.0),), (Drop(3, 1.0),)):
        same = look.rerun(*nothing, decoding=SHORT)
        assert said(same.trace.steps) == said(trace.steps)
        np.testing.assert_array_equal(same.after, same.before)
        assert look.begins("cat", *nothing) == look.begins("cat")


def test_an_answer_on_its_way_is_streamed(tiny_model, trace, look):
    running = look.run_again(Shuffle(1), Drop(1, 0.5), decoding=SHORT)
    first, whole = next(running.steps), look.rerun(Shuffle(1), Drop(1, 0.5), decoding=SHORT)
    assert said([first, *running.steps]) == said(whole.trace.steps)
    np.testing.assert_array_equal(running.after, whole.after)
    assert not running.trace.steps


def test_interventions_are_values(trace):
    assert Remove([3, 7]) == Remove((3, 7)) and hash(Remove([3])) == hash(Remove((3,)))
    assert Cut("picture", "answer", range(1, 3)) == Cut.along("picture → answer", range(1, 3))
    assert {Drop(2), Drop(2, 0.5), Shuffle()} == {Drop(2), Shuffle()}
    every = Remove([3]), Keep([3]), Shuffle(), Rescale(2.0), Cut("picture", "answer"), Drop(2)
    assert pickle.loads(pickle.dumps(every)) == every
