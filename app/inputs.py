"""Inputs that trust nobody: what Gradio would open or refuse in its own words is left to our checks
and our sentences.
"""

import gradio as gr
from anyio import to_thread
from gradio.data_classes import ImageData
from gradio.exceptions import InvalidPathError
from gradio.processing_utils import save_base64_to_cache
from gradio.utils import get_upload_folder
from gradio_client import handle_file

import vlm

from . import limits
from .backend import Backend
from .handlers.errors import SentencesOnly, to_notice
from .handlers.resources import enough_memory


class Photo(gr.Image):
    """An image input that hands over the path of the uploaded file unopened.

    `handlers.open_upload` checks and opens it.

    gr.Image would decode the file first, so that a file that is no image ends in an error without
    words. There is no `__init__` here: Gradio reads from its signature what to send to the browser.
    """

    def get_block_name(self) -> str:
        """Name the component as Gradio's own image, whose front end draws it."""
        return "image"

    def preprocess(self, payload) -> str | None:
        """Give the path of the uploaded file, where gr.Image would decode it; None without one."""
        return payload.path if payload else None


class Photos(gr.File):
    """An input of several files, which may come inside data URLs too, as tools of language models
    send them: Gradio itself knows that only of one file.

    It hands over their paths as `Photo` does; gr.File would leave an empty file on the disk for
    each. Its schema refers to nothing, since within that of a tool the references would point to
    where nothing is.
    """

    def get_block_name(self) -> str:
        """Name the component as Gradio's own file input, whose front end draws it."""
        return "file"

    def preprocess(self, payload) -> list[str] | None:
        """Give the paths of the uploaded files, which stay unopened; None without any."""
        return [each.path for each in payload] if payload else None

    def api_info(self) -> dict:
        """Describe the input as a list of images, in a schema that refers to nothing outside it."""
        return {"type": "array", "items": ImageData.model_json_schema()}


def opened(blocks, inputs) -> list:
    """The components' values with files where photos came inside data URLs.

    They are uploads like any other: they need room, and are deleted with the rest.

    Raises:
        gr.Error: there is no room.
    """

    def saved(block, url: str) -> dict:
        if len(url) > limits.free_upload_bytes():
            raise gr.Error(limits.FULL, print_exception=False)
        path = save_base64_to_cache(url, get_upload_folder())
        block.temp_files.add(path)
        return handle_file(path)

    return [
        (
            [
                saved(block, each) if isinstance(each, str) and each.startswith("data:") else each
                for each in value
            ]
            if isinstance(block, Photos) and isinstance(value, list)
            else value
        )
        for block, value in zip(blocks, inputs)
    ]


def asks_elsewhere(inputs) -> bool:
    """Whether a file is given by an address, which Gradio would fetch for whoever asks: from this
    machine, for a stranger.
    """
    waiting = [inputs]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and "://" in path[:12]:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


class Page(gr.Blocks):
    """Blocks that answer whatever fails with a sentence.

    Gradio hides the reason of an error that is not a `gr.Error`, and the page then shows nothing.

    Attributes:
        backend: what its handlers are methods of.
    """

    def __init__(self, backend: Backend, **options) -> None:
        super().__init__(**options)
        self.backend = backend

    async def process_api(self, block_fn, *arguments, **named):
        """One event, or one part of what it streams, from its inputs to its outputs: every event
        of the page and of its API comes through here, whatever began it.
        """
        what = getattr(block_fn, "api_name", None) or "an event"
        try:
            with SentencesOnly(f"{what}"), enough_memory(self.backend.budget):
                return await super().process_api(block_fn, *arguments, **named)
        except vlm.VLMError as error:
            raise to_notice(error) from error

    async def preprocess_data(self, block_fn, inputs, *arguments, **named):
        """Preprocess an event's inputs as Blocks do, but refuse in a sentence what does not fit."""
        if asks_elsewhere(inputs):
            raise gr.Error(
                "This page fetches nothing from an address; save the photo and upload the file"
                " itself.",
                print_exception=False,
            )
        try:
            inputs = await to_thread.run_sync(opened, block_fn.inputs, inputs)
            return await super().preprocess_data(block_fn, inputs, *arguments, **named)
        except InvalidPathError as error:
            raise gr.Error(
                "This file was not uploaded here; upload the file itself instead of giving a path"
                " on the server.",
                print_exception=False,
            ) from error
        # of pydantic, and of Gradio's components
        except (AttributeError, OSError, RecursionError, TypeError, ValueError) as error:
            raise gr.Error(
                "An input is not of the kind that is expected; 'Use via API' at the foot of the"
                " page lists every input.",
                print_exception=False,
            ) from error

    async def postprocess_data(self, block_fn, predictions, state):
        """As Gradio does it; but what it then remembers of a session, so that links to its state
        can be made, is let go: every run would stay in memory, payload and all.
        """
        outputs = await super().postprocess_data(block_fn, predictions, state)
        if state is not None:
            for key in [
                key for key in state.blocks_config.blocks if key not in self.default_config.blocks
            ]:
                del state.blocks_config.blocks[key]
                state.config_values.pop(key, None)
            for output in block_fn.outputs:
                state.config_values.get(output._id, {}).get("props", {}).pop("value", None)
        return outputs
