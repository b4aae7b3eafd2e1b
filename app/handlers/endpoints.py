"""The named API, for programs.

With GRADIO_MCP_SERVER the same functions are tools of the Model Context Protocol, and what is said
of them here is what a language model reads.
"""

from collections.abc import Iterator, Sequence

from .. import payloads
from ..backend import Backend
from ..run_request import RunRequest, decoding
from .contrastive import matched
from .errors import tells_errors


@tells_errors
def answer_endpoint(
    server: Backend,
    photo: str | None,
    question: str,
    temperature: float,
    top_k: float,
    top_p: float,
    repetition_penalty: float,
    seed: float,
    max_new_tokens: float,
) -> Iterator[str]:
    """`/answer`: what a vision-language model answers to a question about a photo.

    The text as it grows.

    Args:
        photo: a JPEG, PNG or WebP as an uploaded file, or inside a data URL; nothing is fetched
            from an address.
        question: what is asked about it.
        temperature: 0 is greedy, above 0 a token is drawn by chance.
        top_k: only the k most probable tokens; 0 is all.
        top_p: only the fewest tokens that together reach p.
        repetition_penalty: above 1 what was said becomes less probable; 1 is none, whatever came
            with the model. What else came with it is obeyed.
        seed: the same seed gives the same answer.
        max_new_tokens: the longest answer.
    """
    operator = decoding(temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens)
    first = server.models.first
    trace = server.runs.encode(RunRequest((photo,), question, first, operator)).trace
    model = server.models.language.get()
    for step in server.gpu.answer(model, first, trace, operator):
        yield step.answer


@tells_errors
def trace_endpoint(
    server: Backend,
    photo: str | None,
    question: str,
    temperature: float,
    top_k: float,
    top_p: float,
    repetition_penalty: float,
    seed: float,
    max_new_tokens: float,
) -> dict:
    """`/trace`: the inside of such an answer as JSON: the shapes of all stages, the role of every
    position, the box of every visual token in the photo, and each step with its probability and
    alternatives.

    Args:
        photo: a JPEG, PNG or WebP as an uploaded file, or inside a data URL; nothing is fetched
            from an address.
        question: what is asked about it.
        temperature: 0 is greedy, above 0 a token is drawn by chance.
        top_k: only the k most probable tokens; 0 is all.
        top_p: only the fewest tokens that together reach p.
        repetition_penalty: above 1 what was said becomes less probable; 1 is none, whatever came
            with the model. What else came with it is obeyed.
        seed: the same seed gives the same answer.
        max_new_tokens: the longest answer.
    """
    operator = decoding(temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens)
    first = server.models.first
    trace = server.runs.encode(RunRequest((photo,), question, first, operator)).trace
    model = server.models.language.get()
    trace = trace.with_steps(server.gpu.answer(model, first, trace, operator))
    return {
        "question": trace.question,
        "prompt": trace.prompt,
        "stages": payloads.stages(trace),
        "roles": list(trace.roles),
        "boxes": payloads.rounded(trace.visual_tokens.boxes, 3),
        "text_tokens": list(trace.text_tokens.token_strings),
        "answer": trace.answer,
        "finished": True,
        "steps": payloads.steps(trace.steps),
    }


@tells_errors
def similarity_endpoint(server: Backend, photos: Sequence[str] | None, texts: str) -> dict:
    """`/similarity`: photos against lines of text by a contrastive model.

    The matrices (a row a photo, a column a text), e^tau and the losses.

    Args:
        photos: JPEG, PNG or WebP, as uploaded files or inside data URLs.
        texts: one text a line.
    """
    _, lines, record = matched(server, photos, texts)
    return payloads.matrices(record, lines)
