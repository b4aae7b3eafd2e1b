"""The named API, for programs."""

from collections.abc import Iterator, Sequence

from app import gpu, models, payloads
from app.handlers.answering import decoding, encode
from app.handlers.errors import tells_errors
from app.handlers.lab import matched


@tells_errors
def answer_endpoint(
    photo: str | None, question: str, temperature: float, top_k: float, top_p: float, repetition_penalty: float, seed: float, max_new_tokens: float
) -> Iterator[str]:
    """`/answer`: the text of the answer as it grows."""
    operator = decoding(temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens)
    _, trace = encode(photo, question)
    for step in gpu.answer(models.language.get(), models.START, trace, operator):
        yield step.answer


@tells_errors
def trace_endpoint(
    photo: str | None, question: str, temperature: float, top_k: float, top_p: float, repetition_penalty: float, seed: float, max_new_tokens: float
) -> dict:
    """`/trace`: shapes, roles, boxes, tokens and steps as JSON."""
    operator = decoding(temperature, top_k, top_p, repetition_penalty, seed, max_new_tokens)
    _, trace = encode(photo, question)
    trace = trace.with_steps(gpu.answer(models.language.get(), models.START, trace, operator))
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
def similarity_endpoint(photos: Sequence[str] | None, texts: str) -> dict:
    """`/similarity`: photos against lines of text; the matrices, e^tau and the losses."""
    _, lines, record = matched(photos, texts)
    return payloads.matrices(record, lines)
