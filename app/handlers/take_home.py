"""What a visitor takes away: the tensors of a run, and the page it becomes."""

import base64
import io
import tempfile
import zipfile
from pathlib import Path

import vlm

from ..backend import Backend
from ..offline import MARK, offline_page
from .errors import asked_by_script

MAX_BYTES = 100 * 2**20  # that are handed to a browser at once


@asked_by_script
def tensors(server: Backend, answered: str) -> dict:
    """A run as a zip in base64: run.json, run.safetensors and the photos."""
    run = server.runs.open_answer(answered)
    with tempfile.TemporaryDirectory() as folder, io.BytesIO() as buffer:
        vlm.save_run(run.trace, folder, run.model, run.operator)
        files = sorted(Path(folder).iterdir())
        if sum(file.stat().st_size for file in files) > MAX_BYTES:
            raise vlm.VLMError(
                f"This run has more than {MAX_BYTES // 2**20} MB of numbers; keep it with"
                " vlm.save_run, or with python -m vlm ask and --save."
            )
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
        return {"data": base64.b64encode(buffer.getvalue()).decode()}


@asked_by_script
def offline(server: Backend) -> dict:
    """The page that a run becomes, and the mark where the run goes."""
    return {"page": offline_page(), "mark": MARK}
