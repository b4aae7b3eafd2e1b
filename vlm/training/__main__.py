"""`python -m vlm.training STAGE --data DIR ...`: one command for each stage, and one that measures
what came out.

    features      compute the frozen encoder's features once (other stages do it if need be)
    scenes        make a data set of pasted cut-outs, whose answers are known
    contrastive   L_X and L_t: the two linear maps and tau
    connector     LLaVA stage 1: the connector alone
    instruct      LLaVA stage 2: connector and LoRA adapters together
    pack          squash the photos and put them, the encoder and its teacher into files that travel
    encoder       the vision encoder learns from a teacher (what pack made is all it reads)
    neighbours    nearest neighbours and a linear probe of every layer of the encoder
    evaluate      both parts files on held-out photos, as one table
"""

import argparse
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from vlm.embedded.assembly import PARTS as SHIPPED
from vlm.errors import VLMError
from vlm.training import commands, contrastive, encoder_options, language

HOME = Path("training-work")  # features and checkpoints; nothing in it belongs into a repository


def parser() -> argparse.ArgumentParser:
    """Build the command line's parser, with a subcommand for every stage."""
    whole = argparse.ArgumentParser(
        prog="python -m vlm.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stages = whole.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, summary in (
        ("features", "compute the frozen features"),
        ("scenes", "make a data set of pasted cut-outs with known answers"),
        ("contrastive", "train the contrastive maps"),
        ("connector", "train the connector alone"),
        ("instruct", "train connector and LoRA adapters"),
        ("evaluate", "measure the parts on held-out photos"),
    ):
        stage = stages.add_parser(
            name, help=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        stage.add_argument(
            "--data",
            type=Path,
            nargs="+",
            required=True,
            metavar="DIR",
            help="data sets, or folders of data sets",
        )
        stage.add_argument(
            "--work",
            type=Path,
            default=HOME,
            metavar="DIR",
            help="where features and checkpoints lie",
        )
        stage.add_argument("--seed", type=int, default=0)
        if name == "features":
            stage.add_argument(
                "--views",
                nargs="+",
                default=["", "flip"],
                help="'' (the photo as it is), flip, crop, cropflip",
            )
            continue
        if name == "scenes":
            stage.add_argument(
                "--stamps",
                type=Path,
                required=True,
                metavar="DIR",
                help="cut-outs: NAME.png with NAME.txt (/usr/share/tuxpaint/stamps)",
            )
            stage.add_argument(
                "--out",
                type=Path,
                default=HOME / "cutouts",
                metavar="DIR",
                help="the data set that is written",
            )
            stage.add_argument("--count", type=int, default=3000)
            continue
        stage.add_argument(
            "--from",
            dest="parts",
            type=Path,
            metavar="DIR",
            help="start from the parts in this folder (assets/embedded)",
        )
        stage.add_argument(
            "--wordnet",
            type=Path,
            metavar="DIR",
            help="a WordNet 3.0 folder (data.noun): kinds of things for ImageNet ids",
        )
        if name == "evaluate":
            stage.set_defaults(parts=SHIPPED)
            stage.add_argument("--most", type=int, default=300, help="photos a test")
            stage.add_argument(
                "--captions",
                type=Path,
                default=None,
                metavar="FILE",
                help="write the captions of the held-out photos beside the human ones",
            )
            continue
        stage.add_argument(
            "--out", type=Path, default=SHIPPED, metavar="DIR", help="where the parts go"
        )
        stage.add_argument(
            "--steps",
            type=int,
            default={
                "contrastive": contrastive.Settings().steps,
                "connector": 300,
                "instruct": 1500,
            }[name],
        )
        if name == "contrastive":
            stage.add_argument(
                "--part",
                type=float,
                default=1.0,
                help="share of the training photos: what more of them would be worth",
            )
            stage.add_argument(
                "--loss",
                choices=("softmax", "sigmoid"),
                default="softmax",
                help="the article's L, or SigLIP's",
            )
            continue
        stage.add_argument(
            "--resume", action="store_true", help="go on from the checkpoint in --work"
        )
        stage.add_argument("--tokens", type=int, default=1000, help="positions a step")
        stage.add_argument(
            "--sides", default=None, help="grid sides and their shares, as 4:0.35,8:0.55,16:0.1"
        )
        stage.add_argument(
            "--cooldown",
            type=int,
            default=200,
            help="last steps over which the learning rate falls to zero",
        )
        stage.add_argument("--connector-rate", type=float, default=1e-3)
        stage.add_argument("--language-rate", type=float, default=4e-4)
        stage.add_argument("--rank", type=int, default=16)
        stage.add_argument(
            "--layers",
            choices=tuple(language.TARGETS),
            default="attention",
            help="linear maps of the language model that get an adapter",
        )
        stage.add_argument(
            "--minutes", type=float, default=None, help="stop (resumably) after this long"
        )
    encoder_options.add_parsers(stages, HOME)
    return whole


class Progress:
    """One line now and then: how far, how fast, when it ends."""

    def __init__(self, every: float = 15.0):
        self.every, self.last, self.done = every, 0.0, 0

    def __call__(self, done: int, total: int, message: str) -> None:
        """Print how far it is, at most once in `every` seconds and at the end."""
        now = time.monotonic()
        if now - self.last < self.every and done < total:
            return
        if not self.last or done <= self.done:  # another job
            self.first, self.started = done, now
        self.last, self.done = now, done
        rate = (done - self.first) / (now - self.started) if now > self.started else 0.0
        end = (
            time.strftime("%H:%M", time.localtime(time.time() + (total - done) / rate))
            if rate
            else "?"
        )
        print(
            f"{time.strftime('%H:%M:%S')} {message} {done}/{total} {rate:.2f}/s, ends {end}",
            flush=True,
        )


def without_folders(arguments: Sequence[str]) -> list[str]:
    """The arguments with every path cut to its last name: what a parts file may tell of the machine
    it was made on.
    """
    return [
        Path(argument).name if "/" in argument or "\\" in argument else argument
        for argument in arguments
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; return the exit code, 2 where an error of ours ended it."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    command = "python -m vlm.training " + shlex.join(
        without_folders(sys.argv[1:] if arguments is None else arguments)
    )
    try:
        commands.RUN[options.stage](options, command, Progress())
    except VLMError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
