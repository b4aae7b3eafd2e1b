"""The library's commands: what each takes, and what it does.

`python -m vlm` is made of them alone; the page's program adds its own to them.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields

from tqdm import tqdm

import vlm
from vlm import settings

TOTAL = 100  # the bar counts per cent
WIDTH = 88  # letters of a line of `--help`


def _add_name(command: argparse.ArgumentParser, name: str, what: str) -> None:
    command.add_argument(name, default="embedded", help=f"{what} (default: %(default)s)")


def add_ask(command: argparse.ArgumentParser) -> None:
    """Take a photo and a question; the decoding options are the fields of `vlm.Decoding`."""
    command.add_argument("photo", help="an image file")
    command.add_argument("question", help="what to ask about it")
    _add_name(
        command,
        "--model",
        "'embedded', the folder of a checkpoint, or OWNER/NAME of a model on the hub",
    )
    command.add_argument(
        "--four-bit", action="store_true", help="weights in 4-bit, by bitsandbytes on an NVIDIA GPU"
    )
    command.add_argument(
        "--save",
        metavar="FOLDER",
        help="keep the run there: run.json, run.safetensors and the photo",
    )
    for field in fields(vlm.Decoding):
        command.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=float if field.default is None else type(field.default),
            default=field.default,
            help=(
                "default: what came with the checkpoint"
                if field.default is None
                else "default: %(default)s"
            ),
        )


def stage_table(trace: vlm.Trace) -> str:
    """Write one line a stage: symbol, shape with the name of each axis, time."""
    rows = []
    for stage in trace.stages:
        shape = " x ".join(f"{size:,}" for size in stage.shape)
        rows.append(
            f"{stage.symbol:<8} {shape:<16} {' x '.join(stage.axes):<12}"
            f" {stage.milliseconds:>8.1f} ms"
        )
    return "\n".join(rows)


@contextmanager
def progress_bar() -> Iterator[vlm.Progress]:
    """Show a bar on standard error, if somebody looks at it."""
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


def ask(options: argparse.Namespace) -> int:
    """Answer a question about a photo: the stage table, and the answer as it comes."""
    decoding = vlm.Decoding(
        **{field.name: getattr(options, field.name) for field in fields(vlm.Decoding)}
    )
    image = vlm.open_image(options.photo)
    with progress_bar() as progress:
        model = vlm.load(options.model, progress, four_bit=options.four_bit)
    trace = model.encode(image, options.question)
    print(stage_table(trace))
    steps, shown = [], ""
    for step in model.decode(trace, decoding):
        steps.append(step)
        print(step.answer.removeprefix(shown), end="", flush=True)
        shown = step.answer
    print()
    trace = trace.with_steps(steps)
    print(stage_table(trace).splitlines()[-1])
    if options.save:
        print(vlm.save_run(trace, options.save, model, decoding))
    return 0


def add_replay(command: argparse.ArgumentParser) -> None:
    """Take a saved run."""
    command.add_argument("run", help="the run.json of a saved run, or its folder")
    command.add_argument(
        "--model", help="where its model is on this machine, if it has another name here"
    )


def replay(options: argparse.Namespace) -> int:
    """Repeat a saved run: 0 if it holds, 1 if it differs."""
    with progress_bar() as progress:
        repeated = vlm.replay(options.run, options.model, progress)
    print(repeated.words)
    return 0 if repeated.holds else 1


def add_nothing(command: argparse.ArgumentParser) -> None:
    """Take nothing."""


def fetch(options: argparse.Namespace) -> int:
    """Bring and assemble the embedded models, so that the first start needs no network."""
    with progress_bar() as progress:
        vlm.load("embedded", progress)
        vlm.load_contrastive("embedded", progress=progress)
    print("The embedded models are on this machine.")
    return 0


def add_findings(command: argparse.ArgumentParser) -> None:
    """Take a folder of photos with labels."""
    command.add_argument(
        "folder",
        help=(
            "images/ with labels.csv (image,label) or captions.csv (image,caption), or a folder of"
            " such"
        ),
    )
    _add_name(command, "--model", "what vlm.load takes")
    _add_name(command, "--contrastive", "what vlm.load_contrastive takes")
    command.add_argument(
        "--most",
        type=int,
        default=100,
        help="at most so many photos, drawn by chance (default: %(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")


def findings(options: argparse.Namespace) -> int:
    """Print how often each published finding is seen in a folder of photos."""
    model, contrast = vlm.load(options.model), vlm.load_contrastive(options.contrastive)
    with tqdm(total=options.most, unit="photo", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, photos: int) -> None:
            bar.total = photos
            bar.update(done - bar.n)

        found = vlm.findings.rates(
            model, options.folder, contrast, options.most, options.seed, progress=progress
        )
    print(vlm.findings.rate_table(found))
    return 0


def add_index(command: argparse.ArgumentParser) -> None:
    """Take a model and phrases."""
    _add_name(command, "--model", "what vlm.load takes")
    command.add_argument(
        "--texts",
        metavar="FILE",
        help="one phrase a line (default: our own, see vlm/inspect/phrases.py)",
    )
    command.add_argument(
        "--seed", type=int, default=0, help="of our own phrases (default: %(default)s)"
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        help="where the index goes (default: where the lens looks for this model's)",
    )


def index(options: argparse.Namespace) -> int:
    """Make the contextual lens' index of phrases for a model."""
    from vlm.inspect import contextual_lens

    with progress_bar() as progress:
        print(
            contextual_lens.write_index(
                options.model, options.texts, options.seed, options.out, progress
            )
        )
    return 0


Execute = Callable[[argparse.Namespace], int]
# name, what `--help` says of it, what it takes, what it does
COMMANDS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None], Execute], ...] = (
    ("ask", "ask a photo a question: the stage table, and the answer as it comes", add_ask, ask),
    ("replay", "repeat a run that 'ask --save' kept, and compare every number", add_replay, replay),
    ("fetch", "bring the embedded models ahead of time (270 MB)", add_nothing, fetch),
    ("findings", "test published findings on a folder of photos", add_findings, findings),
    ("index", "make the contextual lens' index of phrases for a model", add_index, index),
)


def environment_help(variables: Iterable[settings.Variable]) -> str:
    """List environment variables for the end of `--help`."""
    lines = ["environment variables:"]
    for each in variables:
        said = re.sub(r"[`]", "", f"{each.meaning} (default: {each.default})")
        lines += [
            f"  {each.name}",
            *textwrap.wrap(
                said, WIDTH, **dict.fromkeys(("initial_indent", "subsequent_indent"), " " * 6)
            ),
        ]
    return "\n".join(lines)


def command_line(
    program: str,
    variables: Iterable[settings.Variable],
    commands: Sequence[tuple[str, str, Callable[[argparse.ArgumentParser], None], Execute]],
) -> argparse.ArgumentParser:
    """Build a parser of commands, each with the function that executes it as `execute`."""
    result = argparse.ArgumentParser(
        prog=program,
        description="Look inside a vision-language model as it answers a question about a photo.",
        epilog=environment_help(variables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--version", action="version", version=vlm.__version__)
    several = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning, add_arguments, execute in commands:
        command = several.add_parser(name, help=meaning, description=meaning)
        add_arguments(command)
        command.set_defaults(execute=execute)
    return result


def execute(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it did what was asked, 2 if the input cannot be used (one sentence says
    why).
    """
    options = parser.parse_args(arguments)
    try:
        return options.execute(options)
    except vlm.VLMError as error:
        print(error, file=sys.stderr)
        return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the library."""
    variables = (*settings.Settings.variables(), *settings.OTHERS)
    return execute(command_line("python -m vlm", variables, COMMANDS), arguments)
