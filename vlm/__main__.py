"""The pipeline in a terminal: `python -m vlm photo.jpg "What is this?"` prints the stage table and streams the answer."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from tqdm import tqdm

import vlm

TOTAL = 100  # the bar counts per cent


def parser() -> argparse.ArgumentParser:
    """The command line; the decoding options are the fields of `vlm.Decoding`."""
    result = argparse.ArgumentParser(prog="python -m vlm", description="Look inside a vision-language model as it answers a question about a photo.")
    result.add_argument("photo", help="an image file")
    result.add_argument("question", help="what to ask about it")
    result.add_argument("--model", default="embedded", help="'embedded', the folder of a checkpoint, or OWNER/NAME of a model on the hub (default: %(default)s)")
    result.add_argument("--four-bit", action="store_true", help="weights in 4-bit, by bitsandbytes on an NVIDIA GPU")
    for field in fields(vlm.Decoding):
        result.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default, help="default: %(default)s")
    return result


def stage_table(trace: vlm.Trace) -> str:
    """One line a stage: symbol, shape with the name of each axis, time."""
    rows = []
    for stage in trace.stages:
        shape = " x ".join(f"{size:,}" for size in stage.shape)
        rows.append(f"{stage.symbol:<8} {shape:<16} {' x '.join(stage.axes):<12} {stage.milliseconds:>8.1f} ms")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if an answer was printed, 2 if the input cannot be used (one sentence says why)."""
    options = vars(parser().parse_args(arguments))
    photo, question, name, four_bit = options.pop("photo"), options.pop("question"), options.pop("model"), options.pop("four_bit")
    try:
        decoding = vlm.Decoding(**options)
        image = vlm.open_image(photo)
        with tqdm(total=TOTAL, bar_format="{desc} {percentage:3.0f}%|{bar}|", leave=False, disable=not sys.stderr.isatty()) as bar:

            def progress(fraction: float, message: str) -> None:
                bar.set_description_str(message)
                bar.update(TOTAL * fraction - bar.n)

            model = vlm.load(name, progress, four_bit=four_bit)
        trace = model.encode(image, question)
        print(stage_table(trace))
        steps, shown = [], ""
        for step in model.decode(trace, decoding):
            steps.append(step)
            print(step.answer.removeprefix(shown), end="", flush=True)
            shown = step.answer
        print()
        print(stage_table(trace.with_steps(steps)).splitlines()[-1])
    except vlm.VLMError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
