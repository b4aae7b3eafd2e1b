"""How a refusal reaches a visitor: a notice on the page, or a sentence in the view that asked."""

import functools
import html
import inspect
import logging
from types import TracebackType

import gradio as gr

import vlm

from .resources import enough_memory, for_visitors

log = logging.getLogger(__name__)


class Unforeseen(vlm.VLMError):
    """What nobody foresaw, a mistake of this program's or of a library's, as a sentence."""


class SentencesOnly:
    """Whatever is raised in here leaves as a sentence: that of the error, if it is one of ours,
    else one that says of what class it is and what to do. The log has the rest.

    The one place that takes errors of any class, because a visitor sees nothing at all of one that
    leaves a handler as it is. It stands where Gradio hands an event over (`inputs.Page`) and where
    a script's question is answered (`asked_by_script`), outside of all that may fail.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log an error that nobody foresaw and put a sentence in its place.

        Raises:
            Unforeseen: it was neither a sentence already nor the end of the event.
        """
        if not isinstance(error, Exception) or isinstance(error, (gr.Error, vlm.VLMError)):
            return
        log.error("%s failed", self.what, exc_info=error)
        raise Unforeseen(
            f"This failed in a way that nobody foresaw ({type(error).__name__}): try it again, or"
            " with another photo, question or model, and tell whoever serves this page, whose log"
            " says more."
        ) from error


def to_notice(error: vlm.VLMError, to_program: bool = False) -> gr.Error:
    """An error's sentence as a notice.

    Gradio's notices are HTML, and a sentence quotes what a visitor or a file said: it is escaped,
    or `<image>` would not be read, and worse would be obeyed. A program gets the sentence itself.
    """
    sentence = for_visitors(str(error))
    return gr.Error(
        sentence if to_program else html.escape(sentence, quote=False), print_exception=False
    )


def shows_errors(handler, to_program: bool = False):
    """The one place where an error the user can mend becomes a notice.

    Everything on the page stays as it was.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(server, *arguments, **named):
            try:
                with enough_memory(server.budget):
                    yield from handler(server, *arguments, **named)
            except vlm.VLMError as error:
                raise to_notice(error, to_program) from error

        return stream

    @functools.wraps(handler)
    def call(server, *arguments, **named):
        try:
            with enough_memory(server.budget):
                return handler(server, *arguments, **named)
        except vlm.VLMError as error:
            raise to_notice(error, to_program) from error

    return call


tells_errors = functools.partial(shows_errors, to_program=True)


def asked_by_script(handler):
    """For what the page's script asks, with all arguments behind the server as one list.

    An error the user can mend becomes `{"error": sentence}`, which the view shows.
    """
    count = len(inspect.signature(handler).parameters) - 1  # the server is ours

    @functools.wraps(handler)
    def call(server, arguments):
        try:
            if not isinstance(arguments, list) or len(arguments) != count:
                raise vlm.VLMError(
                    f"{handler.__name__} was asked with {arguments!r:.60}; it takes a list of"
                    f" {count}."
                )
            with SentencesOnly(handler.__name__), enough_memory(server.budget):
                return handler(server, *arguments)
        except vlm.VLMError as error:
            return {"error": for_visitors(str(error))}

    call.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY)
            for name in ("server", "arguments")
        ]
    )
    return call


def said(event: gr.EventData) -> dict:
    """What a panel asked for.

    Raises:
        vlm.VLMError: it asked for nothing that has names.
    """
    if not isinstance(event._data, dict):
        raise vlm.VLMError(f"{event._data!r:.40} is nothing that a panel asks; press its button.")
    return event._data
