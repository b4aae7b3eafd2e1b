"""What the page is told of published findings, and of the page compared with the model."""

from collections.abc import Sequence


def findings(run: str, found: Sequence, total: int) -> dict:
    """The findings that were tested so far."""
    return {
        "run": run,
        "total": total,
        "rows": [
            {
                "id": each.fact.id,
                "claim": each.fact.claim,
                "verdict": each.verdict,
                "sentence": each.sentence,
                "source": each.source,
                "tolerance": each.tolerance,
                "numbers": [[name, float(f"{value:.4g}")] for name, value in each.numbers.items()],
            }
            for each in found
        ],
    }


def comparisons(found: Sequence, versions: dict[str, str], finished: bool) -> dict:
    """What was compared so far, and what is at work."""
    rows = [
        {
            "name": each.name,
            "difference": each.difference,
            "allowed": each.allowed,
            "holds": each.holds,
            "words": each.words,
            "counted": each.counted,
        }
        for each in found
    ]
    return {
        "rows": rows,
        "versions": [[name, value] for name, value in versions.items()],
        "finished": finished,
    }
