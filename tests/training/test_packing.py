"""Several questions about one photo in one sequence compute what each would compute alone."""

import numpy as np
import torch

from vlm.training.packing import Turn, batch, pack


def tiny_language_model():
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return LlamaModel(config).eval()


def hidden(model, packs):
    together = batch(packs)
    embeds = model.get_input_embeddings()(together.ids)
    embeds = embeds.masked_fill(together.visual[..., None], 0.5)
    states = model(
        inputs_embeds=embeds,
        attention_mask=together.mask,
        position_ids=together.positions,
        use_cache=False,
    ).last_hidden_state
    return states[together.rows, together.sources], together.targets


@torch.no_grad()
def test_a_branch_computes_what_it_would_compute_alone():
    model, places = tiny_language_model(), np.arange(4)
    turns = [Turn((5, 6), ((7, 8, 2), (9, 2))), Turn((10, 11, 12), ((13, 2),))]
    states, targets = hidden(model, [pack((3, 4), places, turns)])
    alone = [
        pack((3, 4), places, [Turn(turn.question, (answer,))])
        for turn in turns
        for answer in turn.answers
    ]
    expected = [hidden(model, [one]) for one in alone]
    assert targets.tolist() == [7, 8, 2, 9, 2, 13, 2]
    torch.testing.assert_close(
        states, torch.cat([state for state, _ in expected]), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_padding_changes_nothing():
    model = tiny_language_model()
    short, long = (
        pack((3,), np.arange(2), [Turn((5,), ((6, 2),))]),
        pack((3,), np.arange(2), [Turn((5, 7, 8, 9), ((6, 6, 6, 2),))]),
    )
    together, _ = hidden(model, [short, long])
    apart = torch.cat([hidden(model, [one])[0] for one in (short, long)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)
