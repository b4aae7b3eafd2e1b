"""What the commands of the encoder do: pack what is needed, train, measure neighbours."""

import datetime
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vlm.embedded import assembly
from vlm.training import base, distillation, encoder_run, neighbours, packs, teacher
from vlm.training.adapters import SCALE, adopt_deltas
from vlm.training.datasets import DataError, dataset_folders, read_dataset
from vlm.training.parts import provenance, read_parts
from vlm.training.shards import find_deltas, load_deltas, save_shards
from vlm.training.splits import EVALUATION_ONLY

log = logging.getLogger(__name__)

BASE, TEACHER = "base", "teacher"  # the files of both networks
TESTED = (*sorted(EVALUATION_ONLY), packs.CHOICE)
AT_ONCE = 32  # photos that are measured together


def pack(options, command: str, progress) -> None:
    """Write WORK/pack: photos to train on, photos to test with, both networks."""
    folder = options.work / "pack"
    sources = packs.find_photos(options.data)
    packed = list(packs.squash_all(sources, progress))
    out = packs.split(packed)
    taught = [one for one in packed if one.source.key not in out]
    tested = [one for one in packed if one.source.key.split("/", 1)[0] in TESTED]
    log.info("%d photos to train on, %d left out", len(taught), len(out))
    for name, some in (("photos", taught), ("tested", tested)):
        for path in packs.save_photos(folder, name, some, options.seed):
            log.info("%s, %.1f MB", path.name, path.stat().st_size / 1e6)
    vision, _ = base.vision(parts=())
    state = {name: weight.to(torch.bfloat16) for name, weight in vision.state_dict().items()}
    save_shards(folder, BASE, state, {}, packs.PART_BYTES)
    state = teacher.build_teacher(base.sentence).state_dict()
    save_shards(folder, TEACHER, state, {}, packs.PART_BYTES)


def load_networks(folder: Path) -> tuple[torch.nn.Module, teacher.Teacher]:
    """(The encoder as it was published, its teacher) out of WORK/pack.

    Raises:
        DataError: a file is missing.
    """
    from vlm.backends.compat import ensure_torchvision

    ensure_torchvision()
    from transformers import Dinov2Model

    vision = Dinov2Model(assembly.vision_config())
    state = _read_state(folder, BASE)
    vision.load_state_dict({name: weight.float() for name, weight in state.items()})
    state = _read_state(folder, TEACHER)
    one = teacher.Teacher(teacher.build_network(), torch.empty_like(state["class_vectors"]))
    one.load_state_dict(state)
    one.network.to(memory_format=torch.channels_last)  # the quicker one for convolutions
    return vision.eval(), one


def _read_state(folder: Path, stem: str) -> dict[str, Tensor]:
    paths = sorted(folder.glob(f"{stem}-*.safetensors"))
    if not paths:
        raise DataError(
            f"{folder} holds no {stem}-00.safetensors. Make it with python -m vlm.training pack."
        )
    return {name: weight for path in paths for name, weight in read_parts(path)[0].items()}


def train(options, command: str, progress) -> None:
    """The stage: WORK/encoder.pt is the checkpoint, the deltas go into OUT at every save."""
    folder = options.work / "pack"
    vision, one = load_networks(folder)
    photos, tested = packs.load_photos(folder, "photos"), packs.load_photos(folder, "tested")
    device = base.working_place().device
    settings = distillation.Settings(
        steps=options.steps,
        seed=options.seed,
        batch=options.batch,
        rank=options.rank,
        patch_share=options.patches,
        teacher_side=options.teacher_side,
        rate=options.rate,
        head_rate=options.head_rate,
        averaging=options.averaging,
        cooldown=options.cooldown,
        save_every=options.save_every,
    )
    learner = distillation.Learner(vision, one, settings)
    before = 0
    if options.parts:
        deltas, about = load_deltas(options.parts)
        adopt_deltas(learner.vision, deltas, float(about["lora_scale"]))
        before = int(about["samples_seen"])
    run = encoder_run.Run(learner.to(device), len(photos), device)
    pixels = photos.pixels
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # every batch has one shape
        began = time.monotonic()
        everything = photos.all_pixels().to(device)
        log.info("%d photos decoded in %.0f s", len(photos), time.monotonic() - began)

        def pixels(indices: Sequence[int]) -> Tensor:
            return everything[torch.tensor(indices, device=device)]

    checkpoint = options.work / "encoder.pt"
    if options.resume and checkpoint.exists():
        run.restore(torch.load(checkpoint, map_location=device, weights_only=True))
        log.info("going on from step %d", run.step)
    else:
        encoder_run.calibrate(run, pixels)
    names = sorted({key.split("/", 1)[0] for key in photos.keys})
    chosen = _some_of(tested, packs.CHOICE, options.test_photos)

    def test() -> None:
        with run.averaged():
            features = summarise(learner.vision, tested, chosen, device)
        line = _line(features, [tested.labels[index] for index in chosen])
        log.info("%d samples, %s", before + run.samples, line)

    def report(run: encoder_run.Run) -> None:
        if run.step % options.log_every == 0:
            terms = ", ".join(f"{name} {float(value):.3f}" for name, value in run.terms.items())
            progress(run.step, settings.steps, f"{before + run.samples} samples, {terms}, step")
        if run.step % settings.save_every == 0 or run.done:
            encoder_run.save(run, checkpoint)
            metadata = provenance(
                command, options.seed, names, before + run.samples, lora_scale=str(SCALE)
            )
            save_shards(options.out, "encoder", run.deltas(), metadata)
        if run.step % options.test_every == 0 or run.done:
            test()

    test()
    encoder_run.train(run, pixels, options.minutes, report)


def _some_of(photos: packs.Photos, dataset: str, most: int) -> list[int]:
    """About `most` photos of a data set, whole classes."""
    classes: dict[str, list[int]] = {}
    for index, key in enumerate(photos.keys):
        if key.split("/", 1)[0] == dataset:
            classes.setdefault(photos.labels[index], []).append(index)
    some: list[int] = []
    for label in sorted(classes):
        if len(some) < most:
            some += classes[label]
    return some


@torch.no_grad()
def summarise(
    vision: torch.nn.Module, photos: packs.Photos, indices: Sequence[int], device: torch.device
) -> Tensor:
    """[CLS; mean] of every layer of packed photos."""
    parts = []
    for start in range(0, len(indices), AT_ONCE):
        images = photos.pixels(indices[start : start + AT_ONCE]).to(device).float() / 255
        parts.append(neighbours.summarise_layers(distillation.encode_layers(vision, images)))
    return torch.cat(parts, dim=1)


def _line(features: Tensor, labels: Sequence[str]) -> str:
    last = list(enumerate(features, start=1))[-4:]
    return f"{len(labels)} photos of {packs.CHOICE}, neighbours and probe: " + ", ".join(
        f"layer {number} {_figures(layer, labels)}" for number, layer in last
    )


def _figures(features: Tensor, labels: Sequence[str]) -> str:
    one, five = neighbours.count_right_neighbours(features, labels)
    return f"{one:.3f} / {five:.3f}, {neighbours.count_right_by_probe(features, labels):.3f}"


def measure_neighbours(options, command: str, progress) -> None:
    """A table of every layer: nearest neighbours and a linear probe, on whole data sets."""
    parts = find_deltas(options.parts) if options.parts else ()
    model, processor = base.vision(parts)

    def outputs(images) -> list[Tensor]:
        values = processor(images, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            states = model(values.to(model.device, model.dtype), output_hidden_states=True)
        return list(states.hidden_states[1:])

    columns: dict[str, list[str]] = {}
    for folder in dataset_folders(options.data):
        if folder.name not in options.sets:
            continue
        photos = [photo for photo in read_dataset(folder)[0] if photo.label]
        labels = [photo.label or "" for photo in photos]
        features = _read_summaries([photo.path for photo in photos], outputs, progress)
        columns[f"{folder.name}, {len(set(labels))} classes, {len(labels)} photos"] = [
            _figures(layer, labels) for layer in features
        ]
    if not columns:
        raise DataError(
            f"none of {', '.join(options.sets)} lies in {', '.join(map(str, options.data))}."
        )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    print(f"{today}, seed {options.seed}, {command}")
    print("1-nearest-neighbour / among five, linear probe ([CLS; mean of the patches])\n")
    print("| layer | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for number, row in enumerate(zip(*columns.values()), start=1):
        print(f"| {number} | " + " | ".join(row) + " |")


def _read_summaries(
    paths: Sequence[Path], outputs: Callable[[list], list[Tensor]], progress
) -> Tensor:
    from PIL import Image

    parts = []
    for start in range(0, len(paths), AT_ONCE):
        images = []
        for path in paths[start : start + AT_ONCE]:
            with Image.open(path) as image:
                images.append(image.convert("RGB"))
        parts.append(neighbours.summarise_layers(outputs(images)).cpu())
        progress(start + len(images), len(paths), "photos measured")
    return torch.cat(parts, dim=1)


RUN = {"pack": pack, "encoder": train, "neighbours": measure_neighbours}
