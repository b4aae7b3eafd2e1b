"""How often published findings are seen in a folder of photos: `python -m vlm.facts FOLDER` prints
a table with confidence intervals.
"""

import argparse
import sys
from collections.abc import Sequence

from tqdm import tqdm

import vlm
from vlm.facts import Rate, rates


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m vlm.facts",
        description="Test published findings about visual tokens on a folder of photos.",
    )
    result.add_argument(
        "folder",
        help=(
            "images/ with labels.csv (image,label) or captions.csv (image,caption), or a folder of"
            " such"
        ),
    )
    result.add_argument(
        "--model", default="embedded", help="what vlm.load takes (default: %(default)s)"
    )
    result.add_argument(
        "--contrastive",
        default="embedded",
        help="what vlm.load_contrastive takes (default: %(default)s)",
    )
    result.add_argument(
        "--most",
        type=int,
        default=100,
        help="at most so many photos, drawn by chance (default: %(default)s)",
    )
    result.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    return result


def table(found: Sequence[Rate]) -> str:
    """Markdown: one line a finding."""
    lines = [
        "| finding | seen | of | share (95 % interval) | could not be tested |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        share = f"{each.share:.2f} ({each.low:.2f} to {each.high:.2f})" if each.tested else "–"
        why = f"{each.untestable}: {each.why}" if each.untestable else ""
        lines.append(
            f"| {each.fact.id}. {each.fact.claim} | {each.seen} | {each.tested} | {share} | {why} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the table was printed, 2 if not (one sentence says why)."""
    options = parser().parse_args(arguments)
    try:
        model, contrast = vlm.load(options.model), vlm.load_contrastive(options.contrastive)
        with tqdm(total=options.most, unit="photo", disable=not sys.stderr.isatty()) as bar:

            def progress(done: int, photos: int) -> None:
                bar.total = photos
                bar.update(done - bar.n)

            print(
                table(
                    rates(
                        model,
                        options.folder,
                        contrast,
                        options.most,
                        options.seed,
                        progress=progress,
                    )
                )
            )
    except vlm.VLMError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
