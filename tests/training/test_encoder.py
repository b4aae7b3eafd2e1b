"""The stage `encoder`: teacher, views, losses, runs, and what is handed over."""

import copy
import dataclasses

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from vlm.embedded import assembly
from vlm.embedded import parts as embedded_parts
from vlm.errors import ModelError
from vlm.training import base, distillation, encoder_commands, packs, teacher
from vlm.training.__main__ import main
from vlm.training.adapters import SCALE, adopt_deltas, trained
from vlm.training.datasets import DataError
from vlm.training.distillation import (
    Learner,
    Settings,
    compare_patches,
    compare_photos,
    encode_layers,
)
from vlm.training.encoder_run import Run, calibrate, rate_factor, save, train
from vlm.training.shards import load_deltas, save_shards
from vlm.training.views import Views, draw_views, render_views, whole_views

SETTINGS = Settings(
    steps=100,
    batch=4,
    rank=2,
    patch_share=0.25,
    teacher_side=64,
    directions=3,
    warmup=2,
    heads_first=2,
    rate=5e-3,
    head_rate=2e-2,
)


class Colours(nn.Module):
    """A teacher's network that sees nothing but colours: enough to be learnt in seconds."""

    num_features, num_classes = 64, 5

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 16, stride=16)
        self.classifier = nn.Linear(64, 5)

    def forward_features(self, images):
        return self.conv(images)


@pytest.fixture
def vision():
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(1)
    config = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=12,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
    )
    return Dinov2Model(config).eval()


@pytest.fixture
def tiny_teacher():
    torch.manual_seed(2)
    return teacher.Teacher(Colours(), functional.normalize(torch.randn(5, 4), dim=-1))


@pytest.fixture
def photos():
    torch.manual_seed(3)
    blobs = torch.rand(8, 3, 3, 3)
    smooth = functional.interpolate(blobs, size=(224, 224), mode="bilinear", align_corners=True)
    return (smooth * 255).to(torch.uint8)


def a_run(vision, tiny_teacher, photos, settings=SETTINGS):
    run = Run(Learner(vision, tiny_teacher, settings), len(photos), torch.device("cpu"))
    calibrate(run, lambda indices: photos[list(indices)])
    return run


def advance(run, photos, steps):
    settings = dataclasses.replace(run.settings, steps=run.step + steps, cooldown=0.0)
    run.settings = settings
    losses = []
    train(
        run,
        lambda indices: photos[list(indices)],
        None,
        lambda run: losses.append(float(run.terms["loss"])),
    )
    return losses


def test_the_teachers_weights_come_under_timms_names_in_order():
    wanted = teacher.build_network().state_dict()
    names = [name for name in wanted if "num_batches" not in name]
    assert len(names) == 322
    weights = {f"other.{name}": torch.randn_like(wanted[name]) for name in names}
    state = teacher.map_in_order(weights, wanted)
    teacher.build_network().load_state_dict(state)
    assert all(torch.equal(state[name], weights[f"other.{name}"]) for name in names)
    with pytest.raises(DataError, match="321 tensors were given, 322 are needed"):
        teacher.map_in_order(dict(list(weights.items())[1:]), wanted)
    weights[f"other.{names[0]}"] = torch.zeros(2)
    with pytest.raises(DataError, match="conv_stem"):
        teacher.map_in_order(weights, wanted)


def test_the_teachers_names_are_imagenets_in_their_order():
    names = teacher.list_class_names()
    assert len(names) == 1000 and len(set(names)) > 990
    assert (names[0], names[281], names[-1]) == ("tench", "tabby", "toilet tissue")


def test_a_photos_text_vector_is_the_weighted_mean_of_its_likeliest_classes():
    vectors = torch.randn(30, 4)
    logits = torch.randn(2, 30) * 3
    for one, vector in zip(logits, teacher.compute_conse(logits, vectors)):
        probabilities = torch.softmax(one / 1.5, 0)
        likeliest = probabilities.argsort(descending=True)[:10]
        weights = probabilities[likeliest] / probabilities[likeliest].sum()
        assert torch.allclose(vector, (weights[:, None] * vectors[likeliest]).sum(0), atol=1e-6)


def test_an_untouched_view_is_the_photo_and_a_mirrored_one_its_mirror_image(photos):
    whole = photos.float() / 255
    assert torch.allclose(render_views(photos, whole_views(8), 224), whole, atol=1e-5)
    mirrored = dataclasses.replace(whole_views(8), mirrored=torch.ones(8, dtype=torch.bool))
    assert torch.allclose(render_views(photos, mirrored, 224), whole.flip(-1), atol=1e-5)


def test_a_crop_shows_its_part_of_the_photo(photos):
    box = torch.tensor([0.75, 0.25, 0.5, 0.5]).repeat(8, 1)  # right above
    views = Views(box, torch.zeros(8, dtype=torch.bool), torch.ones(8, 3))
    part = photos[:, :, :112, 112:].float() / 255
    assert torch.allclose(render_views(photos, views, 112), part, atol=1e-5)


def test_views_lie_inside_the_photo_and_depend_on_the_seed_alone():
    views = draw_views(200, torch.Generator().manual_seed(5))
    again = draw_views(200, torch.Generator().manual_seed(5))
    assert torch.equal(views.boxes, again.boxes) and torch.equal(views.colours, again.colours)
    centres, sizes = views.boxes[:, :2], views.boxes[:, 2:]
    assert (centres - sizes / 2).min() >= -1e-6 and (centres + sizes / 2).max() <= 1 + 1e-6
    assert sizes.prod(1).min() > 0.25 and 60 < views.mirrored.sum() < 140


def test_teacher_and_student_see_the_same_view(vision, tiny_teacher, photos):
    run = a_run(vision, tiny_teacher, photos)
    seen = {}
    run.learner.teacher.register_forward_pre_hook(lambda _, inputs: seen.update(teacher=inputs[0]))
    run.learner.vision.embeddings.register_forward_pre_hook(
        lambda _, inputs: seen.update(student=inputs[0])
    )
    run.advance(photos[run.indices()], 0.0)
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (assembly.IMAGE_MEAN, assembly.IMAGE_STD)
    )
    student = functional.interpolate(
        seen["student"] * std + mean, size=(64, 64), mode="bilinear", align_corners=False
    )
    # the photos are smooth, so that two sizes of one view differ by less than two views do
    assert (student - seen["teacher"]).abs().max() < 0.02
    assert (student - seen["teacher"].roll(1, 0)).abs().max() > 0.2


def test_the_softened_probabilities_term_is_their_divergence(vision, tiny_teacher, photos):
    run = a_run(vision, tiny_teacher, photos)
    learner, views = run.learner, whole_views(8)
    given = {}
    for number, heads in enumerate(learner.heads):
        heads.classes.register_forward_hook(
            lambda _, inputs, output, number=number: given.update({number: output})
        )
    terms = learner.losses(photos, views, None)
    wanted = functional.softmax(learner.compute_targets(photos, views).logits / 2, dim=-1)
    expected = sum(
        functional.kl_div(given[number].log_softmax(-1), wanted, reduction="batchmean")
        for number in (0, 1)
    )
    assert terms["classes"].item() == pytest.approx(expected.item() / 2, rel=1e-4)


def test_every_patch_learns_the_teachers_map_at_its_own_place(vision, tiny_teacher, photos):
    learner = a_run(vision, tiny_teacher, photos).learner
    targets = learner.compute_targets(photos, whole_views(8))
    images = torch.zeros(8, 3, 224, 224)
    whole = learner._places(targets, images, None)
    chosen = torch.tensor([[3, 200]] * 8)
    assert whole.shape == (8, 256, 3)
    assert torch.equal(learner._places(targets, images, chosen), whole[:, [3, 200]])
    # a corner's patch gets the corner of the map
    corner = (targets.places[:, :, 0, 0] - learner.scale.places) @ learner.scale.directions
    assert torch.allclose(whole[:, 0], corner, atol=1e-5)


def test_networks_in_bfloat16_give_nearly_the_same_losses(
    monkeypatch, vision, tiny_teacher, photos
):
    """As a GPU runs them."""
    run = a_run(vision, tiny_teacher, photos)
    exact = run.learner.losses(photos, whole_views(8), None)
    monkeypatch.setattr(
        distillation, "choose_precision", lambda device: torch.autocast("cpu", torch.bfloat16)
    )
    rounded = run.learner.losses(photos, whole_views(8), None)
    assert all(term.dtype == torch.float32 for term in rounded.values())
    for name, term in exact.items():
        assert rounded[name].item() == pytest.approx(term.item(), abs=0.05), name
    run.advance(photos[run.indices()], 0.0)
    assert torch.isfinite(run.terms["loss"])


def test_nothing_is_changed_before_the_first_step(vision, tiny_teacher, photos):
    run = a_run(vision, tiny_teacher, photos)
    terms = run.learner.losses(photos, whole_views(8), None)
    assert terms["grouping"].item() == 0.0
    before = encode_layers(run.learner.frozen, photos.float() / 255)
    after = encode_layers(run.learner.vision, photos.float() / 255)
    assert all(torch.equal(one, other) for one, other in zip(before, after))


def test_the_layers_are_transformers_own(vision, photos):
    images = photos[:2].float() / 255
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (assembly.IMAGE_MEAN, assembly.IMAGE_STD)
    )
    with torch.no_grad():
        states = vision((images - mean) / std, output_hidden_states=True).hidden_states[1:]
        outputs = encode_layers(vision, images)
        all_patches = encode_layers(vision, images, torch.arange(256).repeat(2, 1))
    for one, other, same in zip(outputs, states, all_patches, strict=True):
        assert torch.allclose(one, other, atol=1e-5) and torch.allclose(same, other, atol=1e-5)


def test_likeness_is_every_others_cosine():
    features = torch.randn(4, 6)
    found = compare_photos(features)
    assert found.shape == (4, 3)
    for row in range(4):
        others = features[[other for other in range(4) if other != row]]
        wanted = functional.cosine_similarity(features[row], others)
        assert torch.allclose(found[row], wanted, atol=1e-6)


def test_mutual_cosines_leave_out_what_all_patches_share():
    patches = torch.randn(2, 9, 16)
    assert torch.allclose(compare_patches(patches + 7), compare_patches(patches), atol=1e-4)
    assert torch.allclose(compare_patches(patches).diagonal(dim1=1, dim2=2), torch.ones(2, 9))


def test_the_heads_learn_first_and_the_rate_falls_at_the_end():
    settings = Settings(steps=100, warmup=4, cooldown=0.5)
    assert [rate_factor(0, step, settings) for step in (-3, -1, 0, 1, 9)] == [0, 0, 0.25, 0.5, 1]
    assert [rate_factor(done, 50, settings) for done in (0.5, 0.75, 1)] == [1, 0.5, 0]


def test_the_loss_falls_on_a_few_photos(vision, tiny_teacher, photos):
    run = a_run(vision, tiny_teacher, photos)
    losses = advance(run, photos, 25)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_resumed_run_is_the_uninterrupted_one(vision, tiny_teacher, photos, tmp_path):
    other = copy.deepcopy(vision)
    run = a_run(vision, tiny_teacher, photos)
    advance(run, photos, 3)
    save(run, tmp_path / "encoder.pt")
    advance(run, photos, 3)
    again = a_run(other, tiny_teacher, photos)
    again.restore(torch.load(tmp_path / "encoder.pt", weights_only=True))
    advance(again, photos, 3)
    assert again.step == 6 and any(value.any() for value in again.deltas().values())
    for name, value in run.deltas().items():
        assert torch.equal(value, again.deltas()[name]), name
    quicker = dataclasses.replace(SETTINGS, rate=0.5)
    other = a_run(copy.deepcopy(again.learner.frozen), tiny_teacher, photos, quicker)
    other.restore(run.state())
    assert [group["rate"] for group in other.optimizer.param_groups] == [
        0.5,
        0.05,
        SETTINGS.head_rate,
    ]
    changed = dataclasses.replace(SETTINGS, rank=3)
    with pytest.raises(DataError, match="rank"):
        a_run(copy.deepcopy(again.learner.frozen), tiny_teacher, photos, changed).restore(
            run.state()
        )


def test_the_deltas_added_to_the_encoder_are_the_trained_student(
    vision, tiny_teacher, photos, tmp_path
):
    run = a_run(vision, tiny_teacher, photos)
    advance(run, photos, 6)
    plain = run.learner.frozen
    save_shards(tmp_path, "encoder", run.deltas(), {"lora_scale": str(SCALE)}, limit=4000)
    assert len(embedded_parts.encoder_parts(tmp_path)) > 1
    deltas, about = load_deltas(tmp_path)
    adopt_deltas(run.learner.vision, deltas, float(about["lora_scale"]))  # as they are rounded
    images = photos.float() / 255
    with torch.no_grad():
        wanted = encode_layers(run.learner.vision, images)
        before = encode_layers(plain, images)
        plain.load_state_dict(
            assembly.merge(plain.state_dict(), deltas, float(about["lora_scale"]))
        )
        found = encode_layers(plain, images)
    assert (wanted[-1] - before[-1]).abs().max() > 1e-2
    for one, other in zip(found, wanted):
        assert torch.allclose(one, other, atol=1e-4)


def test_deltas_of_another_rank_or_with_other_names_are_refused(vision, tiny_teacher, photos):
    run = a_run(vision, tiny_teacher, photos)
    deltas = run.deltas()
    name = next(name for name in deltas if name.endswith("lora_A"))
    with pytest.raises(DataError, match="Choose --rank"):
        adopt_deltas(run.learner.vision, deltas | {name: torch.zeros(3, 16)}, SCALE)
    with pytest.raises(DataError, match=r"for example other\.bias"):
        adopt_deltas(run.learner.vision, deltas | {"other.bias": torch.zeros(3)}, SCALE)
    doubled = adopt_deltas(run.learner.vision, deltas, 2 * SCALE)
    up = name.replace("lora_A", "lora_B")
    assert doubled is None
    assert torch.equal(trained(run.learner.vision)[up], 2 * deltas[up].float())


def test_shards_of_two_runs_are_not_mixed(tmp_path):
    tensors = {f"{name}.bias": torch.randn(10) for name in "abc"}
    save_shards(tmp_path, "encoder", tensors, {"lora_scale": "2.0"}, limit=50)
    assert load_deltas(tmp_path)[0].keys() == tensors.keys()
    paths = embedded_parts.encoder_parts(tmp_path)
    assert len(paths) == 3 and all(path.stat().st_size < 1000 for path in paths)
    with pytest.raises(ModelError, match="Bring all of one run"):
        embedded_parts.read_encoder_parts(paths[:2])
    save_shards(tmp_path, "encoder", tensors, {"lora_scale": "2.0"})
    assert len(embedded_parts.encoder_parts(tmp_path)) == 1
    with pytest.raises(DataError, match=r"encoder-00\.safetensors"):
        load_deltas(tmp_path / "nowhere")


def test_the_embedded_model_takes_the_deltas_that_lie_beside_its_parts(monkeypatch, tmp_path):
    state = {"layer.weight": torch.randn(6, 4), "layer.bias": torch.randn(6)}
    monkeypatch.setattr(assembly, "vision_state", lambda path: dict(state))
    assert all(
        torch.equal(value, state[name])
        for name, value in assembly.encoder_state(tmp_path, []).items()
    )
    down, up = torch.randn(2, 4).bfloat16(), torch.randn(6, 2).bfloat16()
    parts = {"layer.lora_A": down, "layer.lora_B": up, "layer.bias": torch.ones(6)}
    save_shards(tmp_path, "encoder", parts, {"lora_scale": "0.5"})
    found = assembly.encoder_state(tmp_path, embedded_parts.encoder_parts(tmp_path))
    wanted = state["layer.weight"].bfloat16().float() + 0.5 * up.float() @ down.float()
    assert torch.allclose(found["layer.weight"], wanted, atol=1e-6)
    assert torch.equal(found["layer.bias"], torch.ones(6))


def test_deltas_make_another_checkpoint(monkeypatch, tmp_path):
    from vlm.hub.store import sha256

    (tmp_path / "vlm.safetensors").write_bytes(b"parts")
    monkeypatch.setattr(embedded_parts, "PARTS", tmp_path)
    assert embedded_parts.encoder_version() == ""
    before = embedded_parts.parts_version("vlm")
    assert before == sha256(tmp_path / "vlm.safetensors")
    versions = set()
    for value in (0.0, 1.0):
        parts = {"layer.bias": torch.full((6,), value)}
        save_shards(tmp_path, "encoder", parts, {"lora_scale": "1"})
        versions.add(embedded_parts.parts_version("vlm"))
    assert len(versions | {before}) == 3
    # the instant examples are known by the same number
    from app import examples

    assert examples.sha256_of(tmp_path / "vlm.safetensors") == embedded_parts.parts_version("vlm")


def test_the_commands_pack_train_resume_and_go_on_from_deltas(
    monkeypatch, vision, tiny_teacher, photos, tmp_path
):
    data = tmp_path / "data"
    for dataset in ("own", packs.CHOICE):
        (data / dataset / "images").mkdir(parents=True)
        for number, photo in enumerate(photos):
            name = data / dataset / "images" / f"{number}.png"
            Image.fromarray(photo.permute(1, 2, 0).numpy()).rotate(90 * len(dataset)).save(name)
        rows = [f"{number}.png,{number % 2}" for number in range(len(photos))]
        (data / dataset / "labels.csv").write_text("\n".join(["image,label", *rows]))
    monkeypatch.setattr(assembly, "vision_config", lambda: vision.config)
    monkeypatch.setattr(base, "vision", lambda parts: (vision, None))
    monkeypatch.setattr(teacher, "build_teacher", lambda sentence: tiny_teacher)
    monkeypatch.setattr(teacher, "build_network", Colours)
    assert main(["encoder", "--work", str(tmp_path)]) == 2  # nothing is packed
    assert main(["pack", "--data", str(data), "--work", str(tmp_path)]) == 0
    read, one = encoder_commands.load_networks(tmp_path / "pack")
    assert torch.equal(one.network.conv.weight, tiny_teacher.network.conv.weight)
    for name, weight in vision.state_dict().items():
        assert torch.equal(read.state_dict()[name], weight.bfloat16().float()), name
    common = ["encoder", "--work", str(tmp_path), "--batch", "4", "--rank", "2"]
    common += ["--teacher-side", "64", "--patches", "0.25", "--log-every", "1"]
    assert main([*common, "--out", str(tmp_path / "one"), "--steps", "2"]) == 0
    assert main([*common, "--out", str(tmp_path / "one"), "--steps", "3", "--resume"]) == 0
    _, about = load_deltas(tmp_path / "one")
    assert (about["samples_seen"], about["data"]) == ("12", "own")
    assert about["command"].endswith("--out one --steps 3 --resume")
    on = [*common, "--out", str(tmp_path / "two"), "--from", str(tmp_path / "one")]
    assert main([*on, "--steps", "1"]) == 0
    assert load_deltas(tmp_path / "two")[1]["samples_seen"] == "16"
    assert main([*on, "--rank", "3", "--steps", "1"]) == 2
