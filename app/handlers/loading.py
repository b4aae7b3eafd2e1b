"""What is loading behind the page."""

from collections.abc import Iterator

from app import models


def status() -> Iterator[dict]:
    """Follow the loading until everything is there."""
    models.start()
    shown = None
    while True:
        jobs = [(job.name, job.status) for job in (models.language, models.contrastive, models.umap)]
        current = [{"name": name, "state": status.state, "fraction": status.fraction, "message": status.message} for name, status in jobs]
        if current != shown:
            shown = current
            yield {"jobs": current}
        waiting = [job for job in (models.language, models.contrastive, models.umap) if job.status.state == "loading"]
        if not waiting:
            return
        last = waiting[0].status
        waiting[0].wait(lambda status: status != last, timeout=1.0)  # noqa: B023
