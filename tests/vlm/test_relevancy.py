"""Relevancy is the published formula on explicit attention, and its backward pass is autograd's."""

import threading

import numpy as np
import pytest
import torch

import vlm
from tests.attending import attending
from tests.families import EXPLICIT, tiny_family
from tests.tiny import photo
from vlm.backends import architecture, attention, text_model
from vlm.inspect import relevancy

QUESTION = "What is in this image?"


@pytest.fixture
def trace(tiny_model, wide_photo):
    return tiny_model.trace(wide_photo, QUESTION, vlm.Decoding(max_new_tokens=3))


def published(model, trace, step):
    """Chefer et al.'s R from explicit attention and autograd, every matrix held.

    And the gradient of the logit by what goes in.
    """
    said = [each.token_id for each in trace.steps[: step + 1]]
    embed, where = model.network.get_input_embeddings(), model.network.device
    embeds = torch.cat(
        [
            torch.from_numpy(trace.inputs_embeds).to(where),
            embed(torch.tensor(said[:-1], dtype=torch.long, device=where)),
        ]
    )[None].requires_grad_()
    with attending(model):
        output = model.network(inputs_embeds=embeds, output_attentions=True)
    *gradients, by_input = torch.autograd.grad(
        output.logits[0, -1, said[-1]], [*output.attentions, embeds]
    )
    product = torch.eye(embeds.shape[1], device=where)
    for weights, gradient in zip(output.attentions, gradients):
        product = product + (weights * gradient).clamp(min=0)[0].mean(0) @ product
    return product[-1].detach().cpu().numpy(), by_input


@pytest.mark.parametrize("step", [0, 2])
def test_relevancy_is_the_published_formula(tiny_model, trace, step):
    expected, _ = published(tiny_model, trace, step)
    values = tiny_model.inspect(trace).relevancy(step)
    assert values.shape == (len(trace.input_ids) + step,)
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-7)
    assert (values >= 0).all() and values[:-1].any()


def test_the_backward_pass_is_autograds(tiny_model, trace, monkeypatch):
    _, expected = published(tiny_model, trace, 2)
    kept, grad = [], torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *arguments: kept.append(grad(*arguments)) or kept[-1]
    )
    tiny_model.inspect(trace).relevancy(2)
    torch.testing.assert_close(kept[-1][0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", EXPLICIT)
def test_capped_scores_and_sinks_are_in_relevancy(name, tmp_path, wide_photo, monkeypatch):
    """Of language models that transformers' fast attention cannot run."""
    model = vlm.load(tiny_family(tmp_path, name))
    trace = model.trace(wide_photo, QUESTION, vlm.Decoding(max_new_tokens=1))
    inputs = model.on_device(model.inputs(trace.encoded_image.images, QUESTION))
    with attending(model), torch.enable_grad():
        given = architecture.language_inputs(model.network, inputs)
        embeds = given["inputs_embeds"].detach().requires_grad_()
        trunk = text_model.language_trunk(model.network)
        output = trunk(**(given | {"inputs_embeds": embeds}), output_attentions=True)
        logits = text_model.head(model.network, output.last_hidden_state)
    *gradients, by_input = torch.autograd.grad(
        logits[0, -1, trace.steps[0].token_id], [*output.attentions, embeds]
    )
    product = torch.eye(embeds.shape[1], device=embeds.device)
    for weights, gradient in zip(output.attentions, gradients):
        product = product + (weights * gradient).clamp(min=0)[0].mean(0) @ product
    kept, grad = [], torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd, "grad", lambda *arguments: kept.append(grad(*arguments)) or kept[-1]
    )
    values = model.inspect(trace).relevancy(0)
    np.testing.assert_allclose(values, product[-1].detach().cpu(), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(kept[-1][0], by_input, rtol=1e-3, atol=1e-6)
    assert values[trace.visual_tokens.positions].any()


def test_nothing_is_left_behind_and_no_weight_has_a_gradient(tiny_model, trace):
    with torch.inference_mode():  # as a caller may be
        first = tiny_model.inspect(trace).relevancy(0)
    assert attention._replacement.get() is None
    assert all(
        parameter.grad is None and not parameter.requires_grad
        for parameter in tiny_model.network.parameters()
    )
    np.testing.assert_array_equal(first, tiny_model.inspect(trace).relevancy(0))
    again = tiny_model.trace(trace.image, QUESTION, vlm.Decoding(max_new_tokens=3))
    assert [step.log_probability for step in again.steps] == [
        step.log_probability for step in trace.steps
    ]


def test_another_thread_runs_as_always_meanwhile(tiny_model, trace, monkeypatch):
    answers, usual = [], relevancy.as_always

    def while_another_answers(*arguments, **named):
        other = threading.Thread(
            target=lambda: answers.append(
                tiny_model.trace(photo(50, 60), QUESTION, vlm.Decoding(max_new_tokens=2)).steps
            )
        )
        if not answers:
            other.start()
            other.join()
        return usual(*arguments, **named)

    monkeypatch.setattr(relevancy, "as_always", while_another_answers)
    values = tiny_model.inspect(trace).relevancy(0)
    monkeypatch.undo()
    np.testing.assert_array_equal(values, tiny_model.inspect(trace).relevancy(0))
    alone = tiny_model.trace(photo(50, 60), QUESTION, vlm.Decoding(max_new_tokens=2)).steps
    # two threads share the cores otherwise than one does, which rounds otherwise
    assert [step.token_id for step in answers[0]] == [step.token_id for step in alone]
    np.testing.assert_allclose(
        [step.log_probability for step in answers[0]],
        [step.log_probability for step in alone],
        atol=1e-5,
    )


def test_a_word_that_is_not_there_is_named(tiny_model, trace):
    with pytest.raises(vlm.ModelError, match="no word 3; it has 3"):
        tiny_model.inspect(trace).relevancy(3)
