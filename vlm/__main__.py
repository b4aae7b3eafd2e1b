"""The pipeline in a terminal: `python -m vlm photo.jpg "What is this?"` prints the stage table and
streams the answer.

`--save FOLDER` keeps the run, `python -m vlm replay FOLDER/run.json` repeats it, `python -m vlm
fetch` brings the embedded models ahead of time.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields

from tqdm import tqdm

import vlm

TOTAL = 100  # the bar counts per cent


def parser() -> argparse.ArgumentParser:
    """The command line; the decoding options are the fields of `vlm.Decoding`."""
    result = argparse.ArgumentParser(
        prog="python -m vlm",
        description="Look inside a vision-language model as it answers a question about a photo.",
        epilog=(
            "Also: 'python -m vlm replay FOLDER/run.json' repeats a run that --save kept; 'python"
            " -m vlm fetch' brings the embedded models ahead of time."
        ),
    )
    result.add_argument("photo", help="an image file")
    result.add_argument("question", help="what to ask about it")
    result.add_argument(
        "--model",
        default="embedded",
        help=(
            "'embedded', the folder of a checkpoint, or OWNER/NAME of a model on the hub (default:"
            " %(default)s)"
        ),
    )
    result.add_argument(
        "--four-bit", action="store_true", help="weights in 4-bit, by bitsandbytes on an NVIDIA GPU"
    )
    result.add_argument(
        "--save",
        metavar="FOLDER",
        help="keep the run there: run.json, run.safetensors and the photo",
    )
    for field in fields(vlm.Decoding):
        result.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=float if field.default is None else type(field.default),
            default=field.default,
            help=(
                "default: what came with the checkpoint"
                if field.default is None
                else "default: %(default)s"
            ),
        )
    return result


def stage_table(trace: vlm.Trace) -> str:
    """One line a stage: symbol, shape with the name of each axis, time."""
    rows = []
    for stage in trace.stages:
        shape = " x ".join(f"{size:,}" for size in stage.shape)
        rows.append(
            f"{stage.symbol:<8} {shape:<16} {' x '.join(stage.axes):<12}"
            f" {stage.milliseconds:>8.1f} ms"
        )
    return "\n".join(rows)


@contextmanager
def told() -> Iterator[vlm.Progress]:
    """A bar on standard error, if somebody looks at it."""
    with tqdm(
        total=TOTAL,
        bar_format="{desc} {percentage:3.0f}%|{bar}|",
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as bar:

        def progress(fraction: float, message: str) -> None:
            bar.set_description_str(message)
            bar.update(TOTAL * fraction - bar.n)

        yield progress


def ask(arguments: Sequence[str] | None) -> int:
    """A photo and a question: the stage table, and the answer as it comes."""
    options = vars(parser().parse_args(arguments))
    photo, question, name, four_bit, folder = (
        options.pop(each) for each in ("photo", "question", "model", "four_bit", "save")
    )
    decoding = vlm.Decoding(**options)
    image = vlm.open_image(photo)
    with told() as progress:
        model = vlm.load(name, progress, four_bit=four_bit)
    trace = model.encode(image, question)
    print(stage_table(trace))
    steps, shown = [], ""
    for step in model.decode(trace, decoding):
        steps.append(step)
        print(step.answer.removeprefix(shown), end="", flush=True)
        shown = step.answer
    print()
    trace = trace.with_steps(steps)
    print(stage_table(trace).splitlines()[-1])
    if folder:
        print(vlm.save_run(trace, folder, model, decoding))
    return 0


def replay(arguments: Sequence[str]) -> int:
    """Repeat a saved run: 0 if it holds, 1 if it differs."""
    result = argparse.ArgumentParser(
        prog="python -m vlm replay", description="Repeat a saved run and compare every number."
    )
    result.add_argument("run", help="the run.json of a saved run, or its folder")
    result.add_argument(
        "--model", help="where its model is on this machine, if it has another name here"
    )
    options = result.parse_args(arguments)
    with told() as progress:
        repeated = vlm.replay(options.run, options.model, progress)
    print(repeated.words)
    return 0 if repeated.holds else 1


def fetch(arguments: Sequence[str]) -> int:
    """Bring and assemble the embedded models, so that the first start needs no network."""
    argparse.ArgumentParser(
        prog="python -m vlm fetch", description="Bring the embedded models ahead of time (270 MB)."
    ).parse_args(arguments)
    with told() as progress:
        vlm.load("embedded", progress)
        vlm.load_contrastive("embedded", progress=progress)
    print("The embedded models are on this machine.")
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"replay": replay, "fetch": fetch}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it did what was asked, 2 if the input cannot be used (one sentence says
    why).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return COMMANDS[given[0]](given[1:]) if given and given[0] in COMMANDS else ask(given)
    except vlm.VLMError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
