"""What the subcommands do: read the data, bring the models, run the stage, hand over the parts."""

import logging
import random
import time
from dataclasses import replace

import torch

from vlm.embedded.parts import encoder_version
from vlm.training import base, contrastive, corpus, encoder_commands, language, scenes
from vlm.training.datasets import DataError, dataset_folders, read_dataset
from vlm.training.evaluation import Reader, Tests, measure
from vlm.training.features import encoder, mean_and_spread, pool
from vlm.training.mixing import Mixture
from vlm.training.objects import WordNet
from vlm.training.parts import provenance, read_parts, save_parts, unfold
from vlm.training.splits import is_held_out

log = logging.getLogger(__name__)

VLM_FILE, CONTRASTIVE_FILE = "vlm.safetensors", "contrastive.safetensors"


def _encoder():
    model, processor = base.vision()
    return encoder(model, lambda images: processor(images, return_tensors="pt")["pixel_values"])


def _gather(options, progress, views=()) -> corpus.Corpus:
    version = encoder_version()  # features belong to one encoder
    cache = options.work / (f"features-{version[:12]}" if version else "features")
    gathered = corpus.gather(options.data, cache, _encoder, views, progress)
    for row in gathered.bad[:20]:
        log.warning("skipped %s", row)
    return gathered


def features(options, command: str, progress) -> None:
    """Compute the frozen encoder's features of every photo, and of the views asked for."""
    _gather(options, progress, options.views)


def make_scenes(options, command: str, progress) -> None:
    """A data set of made scenes, pasted onto photos that are not held out."""
    photos = [
        photo
        for folder in dataset_folders(options.data)
        for photo in read_dataset(folder)[0]
        if not is_held_out(photo.key)
    ]
    scenes.make(
        options.stamps,
        [photo.path for photo in photos],
        options.out,
        options.count,
        options.seed,
        progress,
    )


def train_language(options, command: str, progress) -> None:
    """Stages 2 and 3.

    The checkpoint is `work/STAGE.pt`; the parts are written at every checkpoint.
    """
    gathered = _gather(options, progress)
    wordnet = WordNet(options.wordnet) if options.wordnet else None
    place = base.working_place()
    model, tokenizer = base.language(place)
    settings = language.Settings(
        steps=options.steps,
        stage=options.stage,
        seed=options.seed,
        tokens=options.tokens,
        cooldown=min(options.cooldown, options.steps // 2),
        connector_rate=options.connector_rate,
        language_rate=options.language_rate,
        rank=options.rank,
        targets=language.TARGETS[options.layers],
    )
    if options.sides:
        settings = replace(
            settings,
            sides={
                int(side): float(share)
                for side, share in (pair.split(":") for pair in options.sides.split(","))
            },
        )
    entries = gathered.entries(wordnet)
    mixture = Mixture(
        entries,
        _memo(lambda text: tuple(tokenizer.encode(text, add_special_tokens=False))),
        options.seed,
    )
    checkpoint = options.work / f"{options.stage}.pt"
    state = (
        torch.load(checkpoint, map_location="cpu")
        if options.resume and checkpoint.exists()
        else None
    )
    chance = random.Random(options.seed)
    if state:
        mean, spread = state["mean"], state["spread"]
    else:
        some = chance.sample(entries, min(len(entries), 1000))
        mean, spread = mean_and_spread(entry.places[0][0].row(entry.places[0][1]) for entry in some)
    parts, start = read_parts(options.parts / VLM_FILE) if options.parts else ({}, {})
    if parts:
        connector = unfold(parts, mean, spread)
    else:
        connector = language.new_connector(len(mean), model.config.hidden_size)
    learner = language.Learner(model, connector, mean, spread, settings).to(place.device)
    if parts and settings.stage == "instruct":
        adopt(learner, parts, float(start.get("lora_scale", "1")), settings)
    if not parts and not state:
        pairs = _content_words(entries, tokenizer)
        log.info(
            "warm start: regression loss %.3f",
            language.warm_start(learner, pairs, seed=options.seed),
        )
    run = language.Run(learner, settings)
    if state:
        run.restore(state)
        log.info("going on from step %d", run.step)
    before = int(start.get("samples_seen", "0"))
    target = options.out / VLM_FILE
    metadata = {"lora_scale": str(settings.alpha / settings.rank), "stage": settings.stage}
    began = time.monotonic()

    class OutOfTime(Exception):
        pass

    def report(run: language.Run, seconds: float) -> None:
        progress(
            run.step,
            settings.steps,
            f"{settings.stage} loss {run.loss:.3f}, {run.samples} samples,"
            f" {run.samples - first:.0f} in {seconds:.0f} s, step",
        )
        if run.step % settings.save_every == 0 or run.step == settings.steps:
            save_parts(
                target,
                run.parts(),
                provenance(
                    command, options.seed, gathered.names(), before + run.samples, **metadata
                ),
            )
        if options.minutes and time.monotonic() - began > 60 * options.minutes:
            language.save(run, checkpoint)
            raise OutOfTime

    first = run.samples
    try:
        language.train(run, mixture, checkpoint, report)
    except OutOfTime:
        log.info("stopped after %s minutes at step %d; --resume goes on", options.minutes, run.step)


def adopt(
    learner: language.Learner,
    parts: dict[str, torch.Tensor],
    scale: float,
    settings: language.Settings,
) -> None:
    """Put the LoRA deltas of a parts file into the adapters, rescaled to this run's alpha / r.

    Adapters that the file lacks start from zero.

    Raises:
        DataError: the deltas have another rank or are on layers that this run does not train.
    """
    factor = scale / (settings.alpha / settings.rank)
    deltas = {name: value.float() for name, value in parts.items() if ".lora_" in name}
    with torch.no_grad():
        for name, parameter in learner.trained().items():
            short = name.removeprefix("language_model.base_model.model.").removesuffix(
                ".default.weight"
            )
            if ".lora_" not in short or not deltas:
                continue
            value = deltas.pop(short, None)
            if value is None:
                continue
            if value.shape != parameter.shape:
                raise DataError(
                    f"the parts' {short} is {tuple(value.shape)}; this run needs"
                    f" {tuple(parameter.shape)}. Choose --rank to fit."
                )
            parameter.copy_(value * factor if ".lora_B" in short else value)
    if deltas:
        raise DataError(
            f"the parts hold {len(deltas)} deltas that this run does not train, for example"
            f" {next(iter(deltas))}. Choose --layers to fit."
        )


def _content_words(entries, tokenizer):
    """For the warm start: a function that gives pooled features, and the ids of the words of one of
    the photo's texts.
    """
    function_words = set(
        tokenizer.encode(
            " a an the of in on at with and is are to his her its their this that by for from as"
            " This picture shows",
            add_special_tokens=False,
        )
    )
    pairs = []
    for entry in entries:
        table, index = entry.places[0]
        for asked in entry.facts.asked:
            if asked.kind in ("caption", "label"):
                ids = [
                    word
                    for word in tokenizer.encode(
                        " " + asked.answers[0].lower().rstrip("."), add_special_tokens=False
                    )
                    if word not in function_words
                ]
                if ids:
                    pairs.append((lambda table=table, index=index: pool(table.row(index), 4), ids))
    return pairs


def _memo(function):
    known: dict[str, tuple[int, ...]] = {}

    def remembered(text: str) -> tuple[int, ...]:
        if text not in known:
            known[text] = function(text)
        return known[text]

    return remembered


def train_contrastive(options, command: str, progress) -> None:
    """Stage 1; the parts are written when it ends."""
    gathered = _gather(options, progress).part(options.part)
    towers = base.sentence()
    settings = contrastive.Settings(steps=options.steps, seed=options.seed, loss=options.loss)
    maps = contrastive.train(
        gathered, towers, settings, WordNet(options.wordnet) if options.wordnet else None, progress
    )
    save_parts(
        options.out / CONTRASTIVE_FILE,
        maps.parts(),
        provenance(command, options.seed, gathered.names(), options.steps * settings.batch),
    )
    _print({"256": contrastive.evaluate(maps, gathered, towers)})


def evaluate(options, command: str, progress) -> None:
    """Both parts files on photos that were held out, as one table.

    `--captions` takes the captions that were written.
    """
    gathered = _gather(options, progress)
    columns: dict[str, dict[str, float]] = {}
    if (options.parts / CONTRASTIVE_FILE).exists():
        maps = contrastive.read(options.parts / CONTRASTIVE_FILE)
        columns["256"] = contrastive.evaluate(maps, gathered, base.sentence())
    if (options.parts / VLM_FILE).exists():
        tests = Tests.draw(
            gathered,
            WordNet(options.wordnet) if options.wordnet else None,
            options.most,
            options.seed,
        )
        reader = Reader.load(options.parts / VLM_FILE, base.working_place(), 16)
        for side in (8, 16):
            lines: list[str] = []
            figures = measure(reader.at(side), gathered, tests, lines.append)
            columns[str(side * side)] = columns.get(str(side * side), {}) | figures
            if options.captions:
                options.captions.with_suffix(f".{side * side}.txt").write_text(
                    "\n".join(lines) + "\n"
                )
    _print(columns)


def _print(columns: dict[str, dict[str, float]]) -> None:
    """A table in Markdown, one column for each number of visual tokens."""
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    heads = sorted(columns, key=int)
    print("| held-out photos | " + " | ".join(f"{head} tokens" for head in heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    for name in names:
        print(
            f"| {name} | "
            + " | ".join(
                f"{columns[head][name]:.3f}" if name in columns[head] else "" for head in heads
            )
            + " |"
        )


RUN = {
    "features": features,
    "scenes": make_scenes,
    "contrastive": train_contrastive,
    "connector": train_language,
    "instruct": train_language,
    "evaluate": evaluate,
    **encoder_commands.RUN,
}
