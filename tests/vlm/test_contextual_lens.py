"""A phrase's own state is nearest to that phrase.

An index speaks for the weights it was made with and for no others.
"""

import copy
import dataclasses

import numpy as np
import pytest
import torch

import vlm
from vlm.backends import text_model
from vlm.backends.device import to_numpy
from vlm.cli.commands import main
from vlm.inspect import contextual_lens
from vlm.inspect.phrases import phrases

TEXTS = (
    "a photo of a cat",
    "a photo of a dog",
    "a cat on the grass",
    "a photo of a dog and a cat",
    "what is in this image",
)


@pytest.fixture(scope="module")
def index(tiny_model):
    return contextual_lens.build(tiny_model, TEXTS)


def states(model, text: str) -> np.ndarray:
    """The last word of a text at every layer, read alone."""
    ids = torch.tensor([model.processor.tokenizer(text)["input_ids"]], device=model.network.device)
    with torch.inference_mode():
        hidden = text_model.language_trunk(model.network)(
            input_ids=ids, output_hidden_states=True
        ).hidden_states
    return to_numpy(torch.stack([each[0, -1] for each in hidden]))


def test_nearest_to_the_state_of_a_phrase_is_that_phrase(tiny_model, index):
    for text in TEXTS:
        own = states(tiny_model, text)
        for layer in index.layers:
            [((phrase, cosine, at), *_)] = index.nearest(own[layer : layer + 1], 3)
            assert (phrase, at) == (text, layer) and cosine == pytest.approx(1, abs=1e-3)


def test_the_last_word_is_a_word_where_the_tokenizer_writes_an_end_after_it(tiny_model, index):
    from tokenizers.processors import TemplateProcessing

    processor = copy.copy(tiny_model.processor)
    processor.tokenizer = copy.deepcopy(processor.tokenizer)
    end = processor.tokenizer.eos_token
    processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, processor.tokenizer.eos_token_id)]
    )
    assert processor.tokenizer("a cat")["input_ids"][-1] == processor.tokenizer.eos_token_id
    ended = contextual_lens.build(dataclasses.replace(tiny_model, processor=processor), TEXTS)
    np.testing.assert_array_equal(ended.states, index.states)


def test_the_nearest_come_in_order_and_none_twice(tiny_model, index, wide_photo):
    trace = tiny_model.encode(wide_photo, "What is in this image?")
    look = tiny_model.inspect(trace)
    near = index.nearest(look.hidden_states()[1][trace.visual_tokens.positions], 4)
    assert len(near) == 16
    assert look.contextual_lens(3, count=4, index=index)[1] == near[3]
    position = int(trace.visual_tokens.positions[3])
    assert look.contextual_lens(position=position, count=4, index=index)[1] == near[3]
    for row in near:
        cosines = [cosine for _, cosine, _ in row]
        assert (
            len({phrase for phrase, _, _ in row}) == 4
            and cosines == sorted(cosines, reverse=True)
            and max(cosines) <= 1 + 1e-5
        )
        assert all(layer in index.layers for _, _, layer in row)


def test_length_does_not_matter(index):
    row = np.random.default_rng(0).normal(size=(1, index.states.shape[2])).astype(np.float32)
    [one], [other] = index.nearest(row, 5), index.nearest(row * 1000, 5)
    assert [phrase for phrase, *_ in one] == [phrase for phrase, *_ in other]


def test_an_index_is_read_as_it_was_written(index, tiny_model, tmp_path):
    path = tmp_path / "index.safetensors"
    contextual_lens.save(index, path, texts="test")
    again = contextual_lens.load(tiny_model, path)
    assert (again.phrases, again.layers, again.weights) == (
        index.phrases,
        index.layers,
        index.weights,
    )
    np.testing.assert_array_equal(again.states, index.states)
    np.testing.assert_array_equal(again.scales, index.scales)


def test_an_index_of_other_weights_is_refused(index, tiny_model, tiny_models, tmp_path):
    path = tmp_path / "index.safetensors"
    contextual_lens.save(index, path)
    with pytest.raises(vlm.ModelError, match=r"other weights .* make it anew with: python -m"):
        contextual_lens.load(tiny_models("siglip"), path)
    changed = dataclasses.replace(tiny_model, network=copy.deepcopy(tiny_model.network))
    changed.network.model.language_model.layers[1].mlp.down_proj.weight.data.mul_(1.01)
    with pytest.raises(vlm.ModelError, match="other weights"):
        contextual_lens.load(changed, path)


def test_the_number_format_makes_no_other_weights(tiny_model):
    half = dataclasses.replace(
        tiny_model, network=copy.deepcopy(tiny_model.network).to(torch.bfloat16)
    )
    again = dataclasses.replace(tiny_model, network=copy.deepcopy(half.network).to(torch.float16))
    assert (
        contextual_lens.fingerprint(half)
        == contextual_lens.fingerprint(tiny_model)
        == contextual_lens.fingerprint(again)
    )


def test_without_an_index_the_command_is_named(tiny_model, wide_photo, tmp_path, monkeypatch):
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path))
    look = tiny_model.inspect(tiny_model.encode(wide_photo, "What is in this image?"))
    with pytest.raises(vlm.ModelError, match="python -m vlm index --model"):
        look.contextual_lens(0)


@pytest.mark.parametrize("content", [b"", b"no index at all, but long enough"])
def test_a_damaged_index_is_named(tiny_model, tmp_path, content):
    path = tmp_path / "index.safetensors"
    path.write_bytes(content)
    with pytest.raises(vlm.ModelError, match="damaged"):
        contextual_lens.load(tiny_model, path)


def test_another_safetensors_file_is_no_index(tiny_model, tmp_path):
    from safetensors.numpy import save_file

    save_file({"states": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(vlm.ModelError, match="no index"):
        contextual_lens.load(tiny_model, tmp_path / "other.safetensors")


def test_nothing_cannot_be_indexed(tiny_model):
    with pytest.raises(vlm.ModelError, match="no phrase"):
        contextual_lens.build(tiny_model, ["", "  "])


def test_the_command_writes_an_index_that_the_lens_finds(
    checkpoints, tiny_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path / "cache"))
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS) + "\n\n")
    assert main(["index", "--model", str(checkpoints("clip")), "--texts", str(texts)]) == 0
    assert "5 phrases" in capsys.readouterr().out
    assert contextual_lens.load(tiny_model).phrases == TEXTS


@pytest.mark.parametrize("options", [["--texts", "/nowhere/texts.txt"], ["--model", "/nowhere"]])
def test_the_command_says_in_one_sentence_what_is_wrong(checkpoints, options, capsys):
    assert main(["index", "--model", str(checkpoints("clip")), *options]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_our_phrases_are_the_same_for_the_same_seed():
    assert phrases(0) == phrases(0) != phrases(1)
    assert 1500 < len(phrases()) == len(set(phrases())) < 3000
    assert all(2 <= len(phrase.split()) <= 7 for phrase in phrases())


def test_the_shipped_index_belongs_to_the_shipped_parts(embedded_model):
    from safetensors import safe_open

    from vlm.embedded.assembly import PARTS
    from vlm.hub.store import sha256

    index = contextual_lens.load(embedded_model)
    with safe_open(contextual_lens.SHIPPED, "np") as file:
        assert file.metadata()["parts"] == sha256(PARTS / "vlm.safetensors")
    own = states(embedded_model, "a photo of a dog")
    [((phrase, _, _), *_)] = index.nearest(own[index.layers[1] : index.layers[1] + 1])
    assert phrase == "a photo of a dog"
