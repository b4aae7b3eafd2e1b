"""What is wrong with the machine that serves the page, and who is told of it: an allocation that
failed, and sentences that name its folders.
"""

import logging
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import vlm

from ..recent import Budget
from .permissions import only_this_machine

log = logging.getLogger(__name__)

# variables that name some
FOLDERS = (
    "VISUAL_TOKEN_EXPLORER_CACHE",
    "HF_HUB_CACHE",
    "HF_HOME",
    "XDG_CACHE_HOME",
    "GRADIO_TEMP_DIR",
)
TOO_LITTLE = (
    "There was not enough memory for this; ask about a smaller photo or fewer photos, for a shorter"
    " answer, or load a smaller model. What was on the page is still there."
)
IN_THE_LOG = (
    "This server lacks something that only whoever serves it can bring: its log says what, and what"
    " to do. What was on the page is still there."
)


def folders() -> set[str]:
    """Folders of this machine that are nobody's business but the operator's."""
    known = {
        Path.home(),
        Path(tempfile.gettempdir()),
        Path(__file__).parents[2],
        *(Path(os.environ[name]).expanduser() for name in FOLDERS if os.environ.get(name)),
    }
    return {
        str(each) for folder in known for each in (folder, folder.resolve()) if len(each.parts) > 1
    }


def for_visitors(sentence: str) -> str:
    """A sentence as it is, or, if it names a folder of this machine to somebody elsewhere, one that
    does not; the log then has it.
    """
    if only_this_machine() or not any(folder in sentence for folder in folders()):
        return sentence
    log.warning(sentence)
    return IN_THE_LOG


@contextmanager
def enough_memory(budget: Budget) -> Iterator[None]:
    """An allocation that fails in here, Python's, torch's or a GPU's, becomes a sentence, and what
    was kept for later beside the models is let go.

    Raises:
        vlm.VLMError: there was not enough memory.
    """
    try:
        yield
        return
    except Exception as error:
        if not vlm.is_out_of_memory(error):
            raise
        log.warning("out of memory: %s", error)
        traceback.clear_frames(error.__traceback__)  # they hold what was computed so far
    budget.forget("")
    vlm.release_memory()
    raise vlm.VLMError(TOO_LITTLE)
