"""The command lines of the encoder's training: `pack`, `encoder`, `neighbours`."""

import argparse
from pathlib import Path

from vlm.training import encoder_commands
from vlm.training.distillation import Settings


def add_parsers(stages, work: Path) -> None:
    """The three subcommands; `work` is where features, packs and checkpoints lie if nothing is
    said.
    """
    defaults = Settings(steps=0)
    pack = _parser(stages, "pack", "put photos and networks into files that travel", work)
    encoder = _parser(stages, "encoder", "the vision encoder learns from a teacher", work)
    near = _parser(stages, "neighbours", "nearest neighbours of every layer", work)
    for stage in (pack, near):
        stage.add_argument(
            "--data",
            type=Path,
            nargs="+",
            required=True,
            metavar="DIR",
            help="data sets, folders of data sets, or (pack) of photos",
        )
    for stage in (encoder, near):
        stage.add_argument(
            "--from",
            dest="parts",
            type=Path,
            metavar="DIR",
            help="the deltas to start from or to measure; without, the encoder as it was published",
        )
    near.add_argument("--sets", nargs="+", default=list(encoder_commands.TESTED), metavar="NAME")
    encoder.add_argument(
        "--out",
        type=Path,
        default=work / "encoder",
        metavar="DIR",
        help="where the deltas go, in shards of less than 10 MB",
    )
    encoder.add_argument("--resume", action="store_true", help="go on from --work/encoder.pt")
    encoder.add_argument(
        "--minutes", type=float, default=None, help="stop after this long, cooled down"
    )
    encoder.add_argument("--steps", type=int, default=1_000_000)
    encoder.add_argument("--batch", type=int, default=defaults.batch, help="photos a step")
    encoder.add_argument("--rank", type=int, default=defaults.rank)
    encoder.add_argument(
        "--patches",
        type=float,
        default=defaults.patch_share,
        help="share of the patches the student sees",
    )
    encoder.add_argument(
        "--teacher-side", type=int, default=defaults.teacher_side, help="pixels of its views"
    )
    encoder.add_argument("--rate", type=float, default=defaults.rate)
    encoder.add_argument("--head-rate", type=float, default=defaults.head_rate)
    encoder.add_argument("--averaging", type=float, default=defaults.averaging)
    encoder.add_argument(
        "--cooldown", type=float, default=defaults.cooldown, help="last share of the run"
    )
    encoder.add_argument("--save-every", type=int, default=defaults.save_every, help="steps")
    encoder.add_argument("--log-every", type=int, default=10, help="steps")
    encoder.add_argument("--test-every", type=int, default=500, help="steps")
    encoder.add_argument(
        "--test-photos", type=int, default=250, help="photos of the set for choices"
    )


def _parser(stages, name: str, summary: str, work: Path) -> argparse.ArgumentParser:
    stage = stages.add_parser(
        name, help=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    stage.add_argument(
        "--work", type=Path, default=work, metavar="DIR", help="where packs and checkpoints lie"
    )
    stage.add_argument("--seed", type=int, default=0)
    return stage
