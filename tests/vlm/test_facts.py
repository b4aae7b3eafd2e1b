"""Every published finding can be seen and can be missed: each test is given what it must see, and
what it must not.
"""

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vlm
from tests.tiny import photo
from vlm import findings
from vlm.findings import CANNOT, NOT_SEEN, SEEN, Case, folder
from vlm.inspect import knockout
from vlm.inspect.inspector import Inspector
from vlm.inspect.lens import LensTable

QUESTION = "What is in this image?"
IDS = tuple(fact.id for fact in findings.FACTS)
THING = (5, 6, 9, 10)  # in the middle of 4 x 4
WORDS = (
    "<pad>",
    "yes",
    "no",
    "left",
    "right",
    "cat",
    "horse",
    "train",
    "table",
    "picture",
    "sofa",
    "and",
)


class Tokenizer:
    """One entry a word."""

    def __call__(self, text, add_special_tokens=True):
        return {
            "input_ids": [
                WORDS.index(word.lower()) if word.lower() in WORDS else 0 for word in text.split()
            ]
        }

    def decode(self, ids, **options):
        return " ".join(WORDS[number] for number in ids)

    def convert_ids_to_tokens(self, number):
        return WORDS[number]


def steps(*words: str, attention=None) -> list[vlm.Step]:
    """An answer."""
    return [
        vlm.Step(
            index,
            WORDS.index(word),
            f" {word}",
            -0.1,
            1.0,
            0.1,
            (),
            False,
            " ".join(words[: index + 1]),
            1.0,
            attention,
        )
        for index, word in enumerate(words)
    ]


def stub(**parts) -> SimpleNamespace:
    """A model that says what it is told to."""
    defaults = {
        "processor": SimpleNamespace(tokenizer=Tokenizer()),
        "language_layers": 8,
        "prefill": lambda trace, hidden=False: SimpleNamespace(logits=torch.zeros(len(WORDS))),
        "decode": lambda trace, decoding=None, prefill=None: iter(steps("cat", "and", "sofa")),
        "ask": lambda encoded_image, question: None,
        "network": None,
    }
    return SimpleNamespace(**defaults | parts)


def case_of(model, trace, *given, says=None, **named) -> Case:
    """A case of such a model; `says` are instruments of its inspector that say what they are told
    to.
    """
    look = Inspector(model, trace)
    vars(look).update(says or {})
    return Case(look, *given, **named)


def unmasked(*interventions):
    """A masking of a model that hands out no attention."""
    return (lambda: SimpleNamespace(dropped=None)) if interventions else None


def seen_with(trace: vlm.Trace, **parts) -> vlm.Trace:
    """The trace with other records of the photo."""
    return dataclasses.replace(
        trace, encoded_image=dataclasses.replace(trace.encoded_image, **parts)
    )


def favouring(word: str, by: float) -> SimpleNamespace:
    """What a prefill says that finds a word more probable than any other."""
    logits = torch.zeros(len(WORDS))
    logits[WORDS.index(word)] = by
    return SimpleNamespace(logits=logits)


@pytest.fixture
def trace(tiny_model):
    return tiny_model.encode(photo(90, 90), QUESTION)


def case_1(trace, holds):
    sources = (
        trace.visual_tokens.sources
        if holds
        else np.concatenate(
            [trace.visual_tokens.sources, np.roll(trace.visual_tokens.sources, 1, axis=0)], axis=1
        )
    )
    return case_of(
        stub(),
        dataclasses.replace(
            trace, visual_tokens=dataclasses.replace(trace.visual_tokens, sources=sources)
        ),
    )


def case_2(trace, holds):
    square = np.array([[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])
    if not holds:
        square[0, 0], square[3, 3] = square[3, 3], square[0, 0]
    visual = trace.visual_tokens
    merged = vlm.VisualTokens(
        visual.embeddings[:4],
        visual.boxes[:4],
        square,
        ("patch",) * 4,
        visual.photos[:4],
        visual.positions[:4],
    )
    return case_of(stub(), dataclasses.replace(trace, visual_tokens=merged))


def case_3(trace, holds):
    features = np.random.default_rng(0).normal(size=(4, 16, 32)).astype(np.float32)
    features[2, 3] *= 10 if holds else 1
    return case_of(stub(), seen_with(trace, patch_features=features))


def case_4(models, holds):
    """A neuron that makes one patch long.

    Or a position embedding that does, which no neuron can be blamed for.
    """
    model = models("dinov2")
    model = dataclasses.replace(model, network=copy.deepcopy(model.network))
    tower = model.network.model.vision_tower
    if holds:
        layer, given = tower.encoder.layer[0], []
        handle = layer.mlp.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
        model.encode_image(photo(90, 90))
        handle.remove()
        reader, writer = (
            module for module in layer.mlp.modules() if isinstance(module, torch.nn.Linear)
        )
        rows = given[0][0]
        direction = rows[1 + 6] - rows.mean(0)
        along = rows @ direction
        margin = float(along[1 + 6] - along[torch.arange(17) != 1 + 6].max())
        assert margin > 0
        reader.weight.data[0] = direction * 40 / margin
        # 20 at this patch, at most -20 elsewhere
        reader.bias.data[0] = 20 - 40 / margin * float(along[1 + 6])
        writer.weight.data[:, 0] = torch.linspace(-1, 1, len(writer.weight)) * 50
    else:
        tower.embeddings.position_embeddings.data[0, 1 + 6] = 40
    return case_of(model, model.encode(photo(90, 90), QUESTION))


def table_of(named) -> LensTable:
    """A lens table of 9 layers x 16 tokens; `named(layer, token)` tells whether it says "cat"."""
    ids = np.full((9, 16, 5), WORDS.index("picture"))
    for layer in range(9):
        for token in range(16):
            ids[layer, token, 2] = WORDS.index("cat") if named(layer, token) else 0
    return LensTable(ids, np.zeros((9, 16, 5), np.float32), np.zeros((9, 16), np.float32))


def case_5(trace, holds):
    table = table_of(lambda layer, token: token in THING and (layer > 5 if holds else layer < 2))
    says = {"lens_table": lambda: table}
    return case_of(stub(), trace, says=says, tokens=THING, words=("cat",))


def case_7(trace, holds):
    """A model that needs the tokens of the thing, or any."""
    before = trace.visual_tokens.embeddings

    def prefill(changed, hidden=False):
        gone = np.flatnonzero((changed.visual_tokens.embeddings != before).any(1))
        needed = [token for token in gone if token in THING] if holds else gone
        return favouring("yes", 5 - len(needed))

    return case_of(
        stub(ask=lambda encoded_image, question: trace, prefill=prefill),
        trace,
        tokens=THING,
        words=("cat",),
    )


def case_8(trace, holds):
    """Visual tokens with much in common: zero is far away from them.

    Without it zero is as near as noise.
    """
    rows = np.random.default_rng(0).normal(size=trace.visual_tokens.embeddings.shape).astype(
        np.float32
    ) + (9 if holds else 0)
    trace = vlm.token_changes.with_tokens(trace, rows)
    return case_of(
        stub(
            score=lambda changed, ids, prefill: np.full(
                len(ids), -float(np.abs(changed.visual_tokens.embeddings - rows).sum()), np.float32
            )
        ),
        trace,
    )


def case_9(trace, holds):
    """One sink, which the answer does not need, or does."""
    found = SimpleNamespace(
        dimensions=(2,), tokens=(4,), found=np.ones((8, len(trace.input_ids)), bool)
    )
    before = trace.visual_tokens.embeddings

    def decode(changed, decoding=None, prefill=None):
        same = (changed.visual_tokens.embeddings == before).all()
        return iter(steps("cat" if holds or same else "horse"))

    return case_of(stub(decode=decode), trace, says={"sinks": lambda: found})


def case_11(trace, holds):
    length = np.median(np.linalg.norm(trace.text_tokens.embeddings, axis=1)) * (5 if holds else 1.5)
    rows = trace.visual_tokens.embeddings
    return case_of(
        stub(),
        vlm.token_changes.with_tokens(
            trace, rows / np.linalg.norm(rows, axis=1, keepdims=True) * length
        ),
    )


def case_12(trace, holds):
    """Any order gives the same words; only a model that reads places turns left into right."""
    first = trace.visual_tokens.embeddings[0]

    def prefill(changed, hidden=False):
        same = (changed.visual_tokens.embeddings[0] == first).all()
        return favouring("left", 2 if not holds or same else -2)

    return case_of(
        stub(ask=lambda encoded_image, question: trace, prefill=prefill), trace, words=("cat",)
    )


def case_13(trace, holds, monkeypatch):
    def under(masking, answer):
        masking.dropped = (0,)
        return answer if holds else iter(steps("horse"))

    monkeypatch.setattr(knockout, "under", under)
    return case_of(looking(trace, 0.2), trace, says={"masking": unmasked})


def looking(trace, later: float):
    """A model whose first two layers give the picture half of their attention, and the others less
    or more.
    """
    attention = np.zeros((8, len(trace.input_ids)), np.float32)
    attention[:, trace.visual_tokens.positions] = np.array([0.5] * 2 + [later] * 6)[:, None] / 16
    return stub(decode=lambda *arguments: iter(steps("cat", "and", "sofa", attention=attention)))


def case_17(trace, holds):
    def word_probabilities(ids):
        chances = np.full((9, 16, len(ids)), 0.1)
        chances[5, 6, [WORDS[number] == "cat" for number in ids]] = 0.9 if holds else 0.01
        return (
            chances.clip(max=0.9 if holds else 0.1)
            if holds
            else np.where([WORDS[number] == "cat" for number in ids], 0.01, 0.1)
            * np.ones((9, 16, 1))
        )

    says = {"word_probabilities": word_probabilities}
    return case_of(stub(), trace, says=says, words=("cat",))


def cones(apart: float, scale: float = 100.0):
    """A contrastive model whose photos and sentences lie in two cones."""
    chance = np.random.default_rng(0)

    def rows(count, side):
        vectors = chance.normal(size=(count, 8)) * 0.1
        vectors[:, 0] += side * apart
        return vectors

    class Contrast:
        def embed_images(self, images):
            return [SimpleNamespace(vector=vector) for vector in rows(len(images), 1)]

        def embed_texts(self, texts):
            return rows(len(texts), -1)

        def similarity(self, images, texts):
            cosine = np.linspace(0.1, 0.3, len(texts), dtype=np.float32)[None]
            logits = torch.from_numpy(cosine) * scale
            return vlm.Similarity(
                cosine,
                logits.numpy(),
                logits.softmax(1).numpy(),
                logits.softmax(0).numpy(),
                logits.sigmoid().numpy(),
                scale,
                0.0,
                None,
                None,
                None,
                None,
            )

    return Contrast()


def case_18(trace, holds):
    pairs = tuple((photo(20, 20, seed), f"text {seed}") for seed in range(6))
    return case_of(stub(), trace, cones(1.0 if holds else 0.01), pairs=pairs)


def case_19(trace, holds):
    return case_of(stub(), trace, cones(1, 100.0 if holds else 10.0), words=("cat",))


def case_20(trace, holds):
    boxes = trace.visual_tokens.boxes
    inside = np.isin(np.arange(16), THING)
    raw = np.where(inside, -1.0, 1.0) * (1 if holds else -1)
    scores = vlm.PatchScores(
        0.2, 0.0, raw.astype(np.float32), -raw.astype(np.float32), False, boxes, 4, 4
    )
    return case_of(
        stub(),
        trace,
        SimpleNamespace(patch_scores=lambda image, text: scores),
        tokens=THING,
        words=("cat",),
    )


def case_23(trace, holds):
    """A word that loses what it looked at least, or most."""
    positions, before = trace.visual_tokens.positions, trace.visual_tokens.embeddings
    attention = np.zeros((2, len(trace.input_ids)), np.float32)
    attention[:, positions] = np.arange(1, 17) / 136

    def score(changed, ids, prefill):
        gone = np.flatnonzero((changed.visual_tokens.embeddings != before).any(1))
        return np.full(
            len(ids), -float(sum((16 - token if holds else token) for token in gone)), np.float32
        )

    return case_of(
        stub(decode=lambda *arguments: iter(steps("cat", attention=attention)), score=score), trace
    )


def case_25(trace, holds):
    places = trace.encoded_image.patches.places[:, 1:].astype(np.float32)
    waves = np.concatenate(
        [
            np.sin(places * each + shift)
            for each in np.linspace(0.2, 0.6, 8)
            for shift in (0, np.pi / 2)
        ],
        axis=1,
    ).astype(np.float32)
    # neighbours are opposites
    turned = waves * np.where(places.sum(1) % 2, -1, 1)[:, None].astype(np.float32)
    return case_of(stub(), seen_with(trace, position_embeddings=waves if holds else turned))


def case_26(trace, holds):
    places = trace.encoded_image.patches.places[:, 1:].astype(np.float32)
    halves = np.stack(
        [
            places[:, 0] > 1,
            places[:, 1] > 1,
            (places[:, 0] > 1) & (places[:, 1] > 1),
            places[:, 0] * 0.1,
        ],
        axis=1,
    ).astype(np.float32)
    chequered = (
        (places.sum(1) % 2)[:, None] * np.array([9, 5, 3, 1])
        + np.random.default_rng(0).normal(size=(16, 4)) * 0.1
    ).astype(np.float32)
    return case_of(stub(), seen_with(trace, encoder_output=halves if holds else chequered))


@pytest.mark.parametrize("holds", [True, False], ids=["seen", "not seen"])
@pytest.mark.parametrize("number", IDS)
def test_a_finding_is_seen_where_it_is_and_only_there(
    number, holds, trace, tiny_models, monkeypatch
):
    [fact] = [fact for fact in findings.FACTS if fact.id == number]
    build = globals()[f"case_{number}"]
    case = (
        build(tiny_models, holds)
        if number == 4
        else build(trace, holds, monkeypatch)
        if number == 13
        else build(trace, holds)
    )
    finding = fact.check(case)
    assert finding.verdict == (SEEN if holds else NOT_SEEN), finding.sentence
    assert finding.numbers and all(
        isinstance(value, float) and np.isfinite(value) for value in finding.numbers.values()
    )


def test_what_shows_nothing_either_way_is_no_evidence(trace, monkeypatch):
    """A word that needs no part of the picture, a model that does not tell left from right, deep
    layers that look as the first ones do.
    """
    by_id = {fact.id: fact for fact in findings.FACTS}
    numb = case_of(
        stub(
            decode=case_23(trace, True).model.decode,
            score=lambda changed, ids, prefill: np.zeros(len(ids), np.float32),
        ),
        trace,
    )
    assert (
        by_id[23].check(numb).verdict == CANNOT and "does without" in by_id[23].check(numb).sentence
    )
    unsure = case_of(stub(ask=lambda encoded_image, question: trace), trace, words=("cat",))
    assert (
        by_id[12].check(unsure).verdict == CANNOT
        and "to begin with" in by_id[12].check(unsure).sentence
    )
    case_13(trace, True, monkeypatch)
    assert (
        by_id[13].check(case_of(looking(trace, 0.45), trace, says={"masking": unmasked})).verdict
        == NOT_SEEN
    )
    assert by_id[13].check(case_of(stub(), trace, says={"masking": unmasked})).verdict == CANNOT


def test_a_capital_letter_makes_a_thing_no_other(trace):
    """What a telephone writes at the beginning of a field."""
    [fact] = [fact for fact in findings.FACTS if fact.id == 17]
    named = [
        fact.check(
            dataclasses.replace(
                case_17(trace, True), words=(word,), absent=("cat", "horse", "train")
            )
        )
        for word in ("cat", "Cat")
    ]
    assert [each.verdict for each in named] == [SEEN, SEEN] and [
        each.numbers["absent words"] for each in named
    ] == [2, 2]


def test_pairs_of_many_patches_are_drawn(trace, monkeypatch):
    from vlm.findings import seeing

    monkeypatch.setattr(seeing, "MOST", 10)
    [fact] = [fact for fact in findings.FACTS if fact.id == 25]
    assert fact.check(case_25(trace, True)).verdict == SEEN


def test_every_row_says_what_who_and_how_far():
    assert len(set(IDS)) == len(IDS) and {
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        9,
        11,
        12,
        13,
        17,
        18,
        19,
        20,
        23,
        25,
        26,
    } <= set(IDS)
    for fact in findings.FACTS:
        assert fact.claim.endswith(".") and fact.source and fact.tolerance


def test_every_finding_gets_a_verdict_on_a_real_model(tiny_model, tiny_contrast, trace):
    pairs = [(photo(60, 60, seed), f"a photo of {seed}") for seed in range(5)]
    found = list(
        findings.check(
            tiny_model.inspect(trace), tiny_contrast, tokens=THING, words=["cat"], pairs=pairs
        )
    )
    assert [each.fact.id for each in found] == list(IDS)
    assert {each.verdict for each in found} <= {SEEN, NOT_SEEN, CANNOT}
    assert all(each.sentence[-1] in ".)" and each.source and each.tolerance for each in found)


def test_findings_come_one_at_a_time(tiny_model, trace):
    found = findings.check(tiny_model.inspect(trace))
    assert next(found).fact.id == 1


def test_what_needs_the_thing_asks_for_it(tiny_model, trace):
    found = {each.fact.id: each for each in findings.check(tiny_model.inspect(trace))}
    for number in (5, 7, 20):
        assert found[number].verdict == CANNOT
    assert (
        "select"
        in findings.FACTS[IDS.index(7)].check(case_of(tiny_model, trace, words=("cat",))).sentence
    )
    assert "name the thing" in found[17].sentence and "contrastive model" in found[18].sentence


def test_positions_that_are_not_there_are_a_verdict(trace):
    beside = dataclasses.replace(
        trace, visual_tokens=dataclasses.replace(trace.visual_tokens, positions=None)
    )
    for number in (1, 9, 12, 23):
        finding = findings.FACTS[IDS.index(number)].check(case_of(stub(), beside))
        assert finding.verdict == CANNOT and "cross-attention" in finding.sentence


def test_a_rate_has_wilsons_interval():
    fact = findings.FACTS[0]
    found = [
        findings.Finding(fact, verdict, {}, "why")
        for verdict in [SEEN] * 8 + [NOT_SEEN] * 2 + [CANNOT] * 3
    ]
    rate = folder.rate(fact, found)
    assert (rate.seen, rate.tested, rate.untestable, rate.why, rate.share) == (8, 10, 3, "why", 0.8)
    # Wilson (1927), z = 1.96
    assert (rate.low, rate.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert np.isnan(folder.rate(fact, found[-3:]).share)


@pytest.fixture
def labelled(tmp_path):
    """Twelve photos with labels, one file that is none, one row without a file."""
    (tmp_path / "images").mkdir()
    rows = ["image,label"]
    for number in range(12):
        photo(60, 60, number).save(tmp_path / "images" / f"{number}.png")
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog'}")
    (tmp_path / "images" / "broken.png").write_bytes(b"no photo")
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "broken.png,cat", "missing.png,cat"]))
    return tmp_path


def test_a_folder_gives_rates(tiny_model, tiny_contrast, labelled):
    done = []
    chosen = [fact for fact in findings.FACTS if fact.id in (1, 3, 11, 18, 19, 20)]
    found = {
        rate.fact.id: rate
        for rate in findings.rates(
            tiny_model,
            labelled,
            tiny_contrast,
            facts=chosen,
            progress=lambda count, photos: done.append((count, photos)),
        )
    }
    assert (found[1].seen, found[1].tested) == (12, 12) and 0.7 < found[1].low < found[1].high <= 1
    assert found[18].tested == 1  # one group of ten
    assert found[20].tested + found[20].untestable == 12
    assert done[-1] == (12, 13)


def test_the_thing_is_looked_for_off_the_border(trace):
    features = np.zeros((16, 8), np.float32)
    features[list(THING)] = 5
    tokens = folder.foreground(seen_with(trace, encoder_output=features).encoded_image)
    assert tokens.tolist() == list(THING)


def test_the_same_seed_draws_the_same_photos(labelled):
    assert folder.read(labelled, 5, 1) == folder.read(labelled, 5, 1) != folder.read(labelled, 5, 2)
    assert folder.read(labelled.parent, 100)[0].sentence == ""  # a folder of folders


def test_a_folder_without_photos_is_named(tmp_path, capsys):
    from vlm.cli.commands import main

    with pytest.raises(vlm.VLMError, match="no photos"):
        folder.read(tmp_path, 5)
    assert main(["findings", str(tmp_path), "--model", "/nowhere"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_command_prints_a_table(checkpoints, tiny_contrast, labelled, capsys, monkeypatch):
    from vlm.cli.commands import main

    monkeypatch.setattr(vlm, "load_contrastive", lambda name: tiny_contrast)
    assert (
        main(["findings", str(labelled), "--model", str(checkpoints("clip")), "--most", "1"]) == 0
    )
    lines = capsys.readouterr().out.strip().splitlines()
    assert (
        len(lines) == 2 + len(IDS)
        and lines[0].startswith("| finding")
        and "1.00 (0.21 to 1.00)" in lines[2]
    )
