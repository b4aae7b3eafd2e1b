"""`python -m app.build_examples`: compute the instant examples anew with the embedded model, two
minutes on two cores. After every change of its parts, or of what the page is told of a run (raise
`FORMAT` in `app/examples.py`), their files have to be made again.
"""

import datetime
import gzip
import json
from pathlib import Path

import numpy as np

from . import examples
from .runs import BLOCK
from .server import Server
from .uploads import EXAMPLES
from .wire import packed, unpacked

# many numbers of which nobody reads more than two digits
TO_EIGHT_BITS = ("word", "looked", "lens_rows")
MOST_WORDS = 12  # whose maps at every layer are kept: a file stays below 600 kB
ROUNDING = 2.0**-8  # of a number's own size: the largest error of eight significant bits


def shortened(value):
    """The same with every float32 rounded to eight significant bits.

    The rest of it, zeros, takes no room in a gzipped file.
    """
    if isinstance(value, list):
        return [shortened(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") != "f4":
        return {name: shortened(part) for name, part in value.items()}
    bits = unpacked(value).view(np.uint32)
    return packed(((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32))


def told(server: Server, path: str, question: str) -> dict:
    """All that the page is told of a run, asked of the page's own handlers: the four slices of the
    store, and replies to what it would ask next.

    Replies are [name, arguments, reply]. The mean of all words' attention is the same for each of
    them: it is kept once.
    """
    updates = list(
        server.run(path, None, question, server.models.first, *examples.LAYOUT, *examples.SETTINGS)
    )
    record, plane = updates[0][:2]
    answer, words = updates[-3][2], updates[-2][3]  # the last tells nothing
    run, answered = record["run"], answer["key"]
    replies = [["layer", [run, number]] for number in range(record["layers"]["norms"]["shape"][0])]
    for step in range(min(len(answer["steps"]), MOST_WORDS)):
        replies += [["word", [answered, step]], ["looked", [answered, step, 0]]]
    replies += [
        ["lens_rows", [run, first]] for first in range(0, record["boxes"]["shape"][0], BLOCK)
    ]
    replies = [[name, asked, getattr(server, name)(list(asked))] for name, asked in replies]
    replies = [
        [name, asked, shortened(reply) if name in TO_EIGHT_BITS else reply]
        for name, asked, reply in replies
    ]
    means = [reply.pop("mean") for name, _, reply in replies if name == "word" and "mean" in reply]
    return {
        "record": record,
        "plane": plane,
        "answer": answer,
        "words": words,
        "replies": replies,
        "mean": means[0] if means else None,
    }


def opening(server: Server) -> dict:
    """What the lab and the ledger show on arrival: the example photos against a line for each, and
    what the first one costs.
    """
    photos = [str(EXAMPLES / photo) for photo, _ in examples.QUESTIONS]
    similarity, _ = server.compare(
        photos[0], photos[1:], examples.LINES, "", False, server.models.contrastive_name, None
    )
    return {
        "weights": examples.sha256_of(examples.CONTRASTIVE_PARTS),
        "similarity": similarity,
        "ledger": server.ledger(*server.photo_size(photos[0])),
    }


def build(server: Server, asked=examples.QUESTIONS, report=print) -> None:
    """Compute every example and write it beside its photo, then what the lab and the ledger begin
    with, the index last.

    Args:
        asked: photo and question of each.
        report: called with a line for each file.
    """
    model, runs = server.models.language_model(server.models.first), []
    folder = server.precomputed.folder
    made = {
        "format": examples.FORMAT,
        "weights": server.precomputed.weights(),
        "made": datetime.date.today().isoformat(),
        "versions": model.versions(),
    }
    for number, (photo, question) in enumerate(asked):
        kept = told(server, str(EXAMPLES / photo), question)
        file = f"{Path(photo).stem}.run.gz"
        text = json.dumps({"made": made, **kept}, ensure_ascii=False, separators=(",", ":"))
        (folder / file).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        runs.append(
            {
                "photo": photo,
                "question": question,
                "file": file,
                "run": kept["record"]["run"],
                "answer": kept["answer"]["key"],
            }
        )
        report(
            f"{number + 1} of {len(asked)}  {file} "
            f" {(folder / file).stat().st_size / 1000:.0f} kB  {question} "
            f" {kept['answer']['answer']}"
        )
    if server.models.contrastive_name == "embedded":
        (folder / examples.OPENING).write_bytes(
            gzip.compress(
                json.dumps(opening(server), ensure_ascii=False, separators=(",", ":")).encode(),
                9,
                mtime=0,
            )
        )
    (folder / examples.INDEX).write_text(
        json.dumps({**made, "runs": runs}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    build(Server())
