"""Whatever fails says one sentence: every event of the page and of its API, and every question that
its script asks, whatever is raised.
"""

import asyncio
import logging
import re

import gradio as gr
import pytest
import torch
from gradio_client import handle_file
from gradio_client.exceptions import AppError

import vlm
from app import models
from app.handlers import answer_attention, contrastive, errors, resources, take_home, views
from app.page import build
from tests.app.asking import QUESTION, in_a_thread, run, server
from tests.tiny import photo

RAISED = (
    ZeroDivisionError("/secret/folder"),
    KeyError("/secret/folder"),
    RuntimeError("<b>/secret/folder</b>\nTraceback"),
    TypeError("'NoneType' object is not subscriptable"),
)


def is_plain(sentence: str, error: Exception) -> bool:
    """Whether it tells the class and what to do, and nothing of the inside."""
    return (
        f"({type(error).__name__})" in sentence
        and "try it again" in sentence
        and not re.search(r"secret|Traceback|\n|<|File|\.py|NoneType", sentence)
    )


def process(demo, event) -> None:
    in_a_thread(lambda: asyncio.run(demo.process_api(event, [None] * len(event.inputs))))


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_every_event_of_the_page_that_breaks_says_a_sentence(tiny_page, monkeypatch, caplog, error):
    async def broken(*arguments, **named):
        raise error

    demo = build(server)
    events = [each for each in demo.fns.values() if each.fn]
    assert len(events) > 20
    for stage in ("preprocess_data", "call_function", "postprocess_data"):
        caplog.clear()
        with monkeypatch.context() as patch:
            patch.setattr(gr.Blocks, stage, broken)
            if stage != "preprocess_data":  # of inputs that were right
                patch.setattr(type(demo), "preprocess_data", passed_on)
            if stage == "postprocess_data":
                patch.setattr(gr.Blocks, "call_function", made_nothing)
            for event in events:
                with pytest.raises(gr.Error) as notice:
                    process(demo, event)
                assert is_plain(notice.value.message, error) or "not of the kind" in str(
                    notice.value.message
                )
                assert not notice.value.print_exception
        if stage != "preprocess_data":
            assert " failed" in caplog.text and f"{type(error).__name__}: " in caplog.text


async def passed_on(demo, event, inputs, *arguments, **named):
    return inputs


async def made_nothing(*arguments, **named):
    return {"prediction": None, "duration": 0, "is_generating": False, "iterator": None}


def test_a_sentence_of_the_library_and_too_little_memory_stay_what_they_are(tiny_page, monkeypatch):
    demo = build(server)
    event = next(each for each in demo.fns.values() if each.fn)
    monkeypatch.setattr(type(demo), "preprocess_data", passed_on)
    for error, said in (
        (vlm.ImageError("The photo holds <nothing>."), "The photo holds &lt;nothing&gt;."),
        (torch.OutOfMemoryError("CUDA out of memory."), resources.TOO_LITTLE),
        (gr.Error("Wait."), "Wait."),
    ):

        async def broken(*arguments, error=error, **named):
            raise error

        monkeypatch.setattr(gr.Blocks, "call_function", broken)
        with pytest.raises(gr.Error) as notice:
            process(demo, event)
        assert notice.value.message == said


QUESTIONS = {  # of the page's script: what it asks, and where something breaks
    "layer": (server.layer, views.payloads, "layer"),
    "rows": (server.rows, views.payloads, "rows"),
    "lens": (server.lens, views.payloads, "lenses"),
    "lens_rows": (server.lens_rows, views.payloads, "lens_rows"),
    "word_maps": (server.word_maps, views.payloads, "packed"),
    "word": (server.word, views.payloads, "word"),
    "looked": (server.looked, answer_attention.payloads, "looked"),
    "relevancy": (server.relevancy, answer_attention.payloads, "among_sources"),
    "ablation": (server.ablation, answer_attention, "whole_number"),
    "cell": (server.cell, server.contrasts, "known"),
    "tensors": (server.tensors, server.runs, "open_answer"),
    "offline": (server.offline, take_home, "offline_page"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_of_the_script_that_breaks_is_answered_with_a_sentence(
    tiny_page, uploaded, monkeypatch, question
):
    handler, owner, name = QUESTIONS[question]
    updates = run(uploaded)
    record, answered = updates[0][0]["run"], updates[-2][2]["key"]
    arguments = {
        "layer": [record, 0],
        "rows": [record, 0, 0],
        "lens": [record, 0],
        "lens_rows": [record, 0],
        "word_maps": [record, "cat"],
        "word": [answered, 0],
        "looked": [answered, 0, 0],
        "relevancy": [answered, 0],
        "ablation": [answered, 0, [0]],
        "cell": ["a key", 0, 0],
        "tensors": [answered],
        "offline": [],
    }[question]

    def broken(*arguments, **named):
        raise ZeroDivisionError("/secret/folder")

    monkeypatch.setattr(owner, name, broken)
    reply = handler(arguments)
    assert set(reply) == {"error"} and is_plain(reply["error"], ZeroDivisionError())


def test_programs_read_the_sentence(client, tiny_page, upload, monkeypatch):
    path = upload(photo(80, 60), "photo.png")
    settings = [0.0, 0, 1.0, 1.0, 0, 4]

    def broken(*arguments, **named):
        raise LookupError("/secret/folder")

    monkeypatch.setattr(server.models, "language_model", broken)
    for name in ("/answer", "/trace"):
        with pytest.raises(AppError) as error:
            client.predict(handle_file(path), QUESTION, *settings, api_name=name)
        assert is_plain(str(error.value), LookupError())
    monkeypatch.setattr(contrastive, "readable", broken)
    with pytest.raises(AppError) as error:
        client.predict([handle_file(path)], "a cat", api_name="/similarity")
    assert is_plain(str(error.value), LookupError())


def test_a_model_whose_loading_breaks_says_so(caplog):
    job = models.Background("model", lambda progress: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.get()
    assert "(ZeroDivisionError)" in job.status.message and "try again" in job.status.message


def test_the_end_of_an_event_is_not_taken_for_a_failure(caplog):
    with caplog.at_level(logging.ERROR):
        for end in (asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt()):
            with pytest.raises(type(end)), errors.SentencesOnly("an event"):
                raise end
    assert caplog.text == ""
