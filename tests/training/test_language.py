"""Stages 2 and 3 on a tiny Llama: a run learns, can be interrupted, and hands over parts that mean
what it learnt.
"""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_tokenizer
from vlm.embedded.assembly import merge
from vlm.training import commands, language
from vlm.training.datasets import DataError, Photo
from vlm.training.evaluation import Reader, cider
from vlm.training.features import Features, mean_and_spread
from vlm.training.language import Learner, Run, Settings
from vlm.training.mixing import Entry, Mixture
from vlm.training.packing import batch
from vlm.training.parts import read_parts, save_parts, unfold
from vlm.training.questions import Asked, facts

WIDTH, HIDDEN = 12, 32
SETTINGS = Settings(
    steps=6,
    stage="instruct",
    tokens=150,
    sides={2: 0.5, 4: 0.5},
    warmup=2,
    cooldown=2,
    rank=2,
    alpha=4,
    save_every=3,
)
ANSWERS = ("A cat.", "A dog.", "The grass.")


def tiny_language_model(tokenizer):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = dict(
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def entries():
    """Nine photos of three kinds; the features of a kind are alike."""
    chance = np.random.default_rng(0)
    kinds = chance.normal(size=(3, 1, WIDTH))
    array = (kinds[np.arange(9) % 3] + 0.1 * chance.normal(size=(9, 17, WIDTH))).astype(np.float16)
    table = Features("set", "", tuple(f"{index}.jpg" for index in range(9)), array)
    told = [
        facts(Photo("set", name, Path(name), captions=(ANSWERS[index % 3],)))
        for index, name in enumerate(table.names)
    ]
    return [
        Entry(f"set/{name}", ((table, index),), told[index])
        for index, name in enumerate(table.names)
    ]


@pytest.fixture
def new_run(tokenizer, entries):
    def build(settings=SETTINGS) -> tuple[Run, Mixture]:
        torch.manual_seed(1)
        mean, spread = mean_and_spread(
            entry.places[0][0].row(entry.places[0][1]) for entry in entries
        )
        learner = Learner(
            tiny_language_model(tokenizer),
            language.new_connector(WIDTH, HIDDEN),
            mean,
            spread,
            settings,
        )
        return Run(learner, settings), Mixture(
            entries,
            lambda text: tuple(tokenizer.encode(text, add_special_tokens=False)),
            settings.seed,
        )

    return build


def mean_loss(run: Run, mixture: Mixture) -> float:
    packs, visual = mixture.step(0, run.settings.sides, 600)
    with torch.no_grad():
        return run.learner.losses(torch.cat(visual), batch(packs)).mean().item()


@pytest.mark.parametrize("stage", ["connector", "instruct"])
def test_a_few_steps_lower_the_loss_of_the_same_questions(new_run, stage):
    run, mixture = new_run(
        dataclasses.replace(
            SETTINGS, stage=stage, steps=20, connector_rate=5e-3, language_rate=5e-3
        )
    )
    before = mean_loss(run, mixture)
    language.train(run, mixture)
    assert mean_loss(run, mixture) < before - 0.01


def test_a_false_sentence_names_what_is_not_there(new_run, entries):
    _, mixture = new_run()
    chance = random.Random(0)
    asked = [
        (entry, one)
        for entry in entries
        for _ in range(30)
        for one in mixture.turns(entry, "", chance)
        if one.kind == "fits"
    ]
    assert {one.answers[0] for _, one in asked} == {"Yes.", "No."}
    for entry, one in asked:
        own = {sentence for sentence, _ in entry.facts.told}
        assert (one.question.removeprefix("Is this true of the image? ") in own) == (
            one.answers[0] == "Yes."
        )


def test_the_connector_stage_leaves_the_language_model_as_it_is(new_run):
    run, mixture = new_run(dataclasses.replace(SETTINGS, stage="connector"))
    before = {
        name: weight.clone() for name, weight in run.learner.language_model.state_dict().items()
    }
    language.train(run, mixture)
    assert all(
        torch.equal(weight, before[name])
        for name, weight in run.learner.language_model.state_dict().items()
    )
    assert set(run.parts()) == {
        f"connector.linear_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")
    }


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(new_run, tmp_path):
    whole, mixture = new_run()
    language.train(whole, mixture)

    first, mixture = new_run()
    first.settings = SETTINGS
    for _ in range(3):
        first.advance(mixture)
    language.save(first, tmp_path / "run.pt")
    second, mixture = new_run()
    second.restore(torch.load(tmp_path / "run.pt"))
    language.train(second, mixture)
    assert (second.step, second.samples) == (whole.step, whole.samples) and second.samples > 0
    for name, value in whole.parts().items():
        assert torch.equal(value, second.parts()[name]), name


def test_a_checkpoint_of_another_kind_of_run_is_refused(new_run):
    run, _ = new_run()
    other, _ = new_run(dataclasses.replace(SETTINGS, rank=3))
    with pytest.raises(ValueError, match="rank"):
        other.restore(run.state())


def test_parts_merged_into_the_base_answer_like_the_run(new_run, tokenizer, entries, tmp_path):
    run, mixture = new_run(dataclasses.replace(SETTINGS, averaging=0.0, language_rate=1e-2))
    language.train(run, mixture)
    save_parts(tmp_path / "vlm.safetensors", run.parts(), {"lora_scale": "2.0"})
    parts, metadata = read_parts(tmp_path / "vlm.safetensors")
    base = tiny_language_model(tokenizer)
    base.load_state_dict(
        merge(
            base.state_dict(),
            {name: part for name, part in parts.items() if "lora" in name},
            float(metadata["lora_scale"]),
        )
    )
    zero, one = torch.zeros(WIDTH), torch.ones(WIDTH)
    merged = Learner(
        base, unfold(parts, zero, one), zero, one, dataclasses.replace(SETTINGS, stage="connector")
    )
    packs, visual = mixture.step(5, {4: 1.0}, 300)
    run.learner.eval()
    with torch.no_grad():
        expected = run.learner.losses(torch.cat(visual), batch(packs))
        # deltas travel in bfloat16
        torch.testing.assert_close(
            merged.losses(torch.cat(visual), batch(packs)), expected, atol=0.02, rtol=0.02
        )


def test_a_new_run_starts_from_the_parts_of_another(new_run):
    run, mixture = new_run(dataclasses.replace(SETTINGS, language_rate=1e-2, averaging=0.0))
    language.train(run, mixture)
    parts = run.parts()
    other, mixture = new_run()
    commands.adopt(other.learner, parts, 2.0, SETTINGS)
    for name, parameter in other.learner.trained().items():
        if ".lora_" in name:
            torch.testing.assert_close(parameter, run.average[name], atol=2e-2, rtol=2e-2)
    smaller, _ = new_run(dataclasses.replace(SETTINGS, rank=1))
    with pytest.raises(DataError, match="--rank"):
        commands.adopt(smaller.learner, parts, 2.0, SETTINGS)


def test_a_run_with_more_adapters_starts_as_the_model_of_the_parts(new_run):
    run, mixture = new_run(dataclasses.replace(SETTINGS, language_rate=1e-2, averaging=0.0))
    language.train(run, mixture)
    more = dataclasses.replace(SETTINGS, targets=language.TARGETS["more"])
    other, _ = new_run(more)
    other.learner.connector.load_state_dict(run.learner.connector.state_dict())
    commands.adopt(other.learner, run.parts(), 2.0, more)
    assert len(other.learner.trained()) > len(run.learner.trained())
    # deltas travel in bfloat16
    assert mean_loss(other, mixture) == pytest.approx(mean_loss(run, mixture), abs=0.02)
    fewer, _ = new_run()
    with pytest.raises(DataError, match="--layers"):
        commands.adopt(fewer.learner, other.parts(), 2.0, SETTINGS)


@pytest.fixture
def reader(new_run, tokenizer):
    run, _ = new_run(dataclasses.replace(SETTINGS, stage="connector"))
    torch.nn.init.normal_(run.learner.connector[2].weight, std=1.0)
    return Reader(run.learner.eval(), tokenizer, 4)


def test_a_score_is_what_the_language_model_gives_that_answer_alone(reader, entries):
    photos = [table.row(index) for table, index in (entry.places[0] for entry in entries[:2])]
    asked = [
        [Asked("What is this?", ("A cat.", "A dog."), "")],
        [Asked("Where?", ("The grass.",), "")],
    ]
    scores = reader.score(photos, asked)
    model, frame = reader.learner.language_model, reader.frame
    for features, several, scored in zip(photos, asked, scores):
        turn = frame.turn(several[0])
        for answer, (loss, _) in zip(turn.answers, scored):
            embed = model.get_input_embeddings()
            visual = reader.learner.connect(features[1:])
            embeds = torch.cat(
                [
                    embed(torch.tensor(frame.prefix())),
                    visual,
                    embed(torch.tensor(turn.question + answer)),
                ]
            )[None]
            with torch.no_grad():
                logits = model(inputs_embeds=embeds).logits[0, -len(answer) - 1 : -1]
            assert loss == pytest.approx(
                torch.nn.functional.cross_entropy(logits, torch.tensor(answer)).item(), abs=1e-4
            )


def test_an_answer_is_a_hit_when_greedy_decoding_gives_exactly_it(reader, entries):
    photos = [table.row(index) for table, index in (entry.places[0] for entry in entries[:3])]
    reader.tokenizer.encode("x")
    greedy = reader.captions(photos)
    asked = [[Asked("Describe the image.", ("A cat.",), "")] for _ in photos]
    hits = [row[0][1] for row in reader.score(photos, asked)]
    assert hits == [text == "A cat." for text in greedy]


def test_without_picture_every_photo_looks_the_same(reader, entries):
    photos = [table.row(index) for table, index in (entry.places[0] for entry in entries[:3])]
    asked = [[Asked("What is this?", ("A cat.",), "")] for _ in photos]
    seen = [row[0][0] for row in reader.score(photos, asked)]
    blind = [row[0][0] for row in reader.without_picture(photos).score(photos, asked)]
    assert len(set(np.round(seen, 4))) == 3 and max(blind) - min(blind) < 1e-4


def test_cider_is_highest_for_the_human_words():
    references = [
        ["A cat on the grass.", "A cat sits on grass."],
        ["Two dogs play in water.", "Dogs in the water."],
    ]
    right, swapped = (
        cider(["A cat on the grass.", "Dogs in the water."], references),
        cider(["Dogs in the water.", "A cat on the grass."], references),
    )
    assert right > 1 > swapped
