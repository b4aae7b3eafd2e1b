"""Faults that a page survives: too little memory, a bug in a handler, a model that goes, a server
that is killed; and whom its own folders are told to.
"""

import gc
import logging
import threading
import weakref

import gradio as gr
import numpy as np
import pytest
import torch

import vlm
from app import models
from app.handlers import errors, resources
from app.handlers.loading import follow
from app.run_request import RunRequest
from app.server import Server
from tests.app.asking import QUESTION, answers, run, sentence, server
from tests.app.browsing import ask
from tests.load import Page, Visitor, alone, mistaken, served
from tests.tiny import photo, tiny_clip, tiny_llava

TOO_MUCH = 1 << 60  # bytes that no machine has


def of_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


ALLOCATIONS = {
    "numpy": lambda: np.empty(TOO_MUCH, np.uint8),
    "torch on the CPU": lambda: torch.empty(TOO_MUCH, dtype=torch.uint8),
    "a GPU": of_a_gpu,
}


@pytest.fixture(params=ALLOCATIONS)
def little_memory(request, tiny_page, tiny_model):
    """The language model takes more memory than there is for sequences of more than so many
    positions.
    """
    there = {"positions": 64}
    hook = tiny_model.network.get_decoder().register_forward_pre_hook(
        lambda module, arguments, named: (
            ALLOCATIONS[request.param]()
            if named["inputs_embeds"].shape[1] > there["positions"]
            else None
        ),
        with_kwargs=True,
    )
    yield there
    hook.remove()


def test_too_little_memory_is_said_in_a_sentence_and_the_next_smaller_run_works(
    little_memory, uploaded, upload
):
    before = answers(uploaded)[-1]["answer"]
    assert server.runs.count("prefill")
    several = [upload(photo(80, 60, seed=number), f"several{number}.png") for number in range(3)]
    with pytest.raises(gr.Error) as error:
        run(uploaded, also=several)
    assert sentence(error) == resources.TOO_LITTLE
    # what lay beside the model was let go
    assert server.runs.count("prefill") == server.runs.count("hidden states") == 0
    assert answers(uploaded)[-1]["answer"] == before


def test_too_little_memory_for_what_a_script_asks_is_said_where_it_asked(
    little_memory, uploaded, upload
):
    several = [upload(photo(80, 60, seed=number), f"several{number}.png") for number in range(3)]
    there, little_memory["positions"] = little_memory["positions"], 1_000
    asked = RunRequest((uploaded, *several), QUESTION, server.models.first)
    key = str(server.runs.encode(asked).key)
    little_memory["positions"] = there
    assert server.lens([key, 0]) == {"error": resources.TOO_LITTLE}
    assert "layers" in server.lens([run(uploaded)[0][0]["run"], 0])


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_model_for_which_there_is_too_little_memory_says_so_and_can_be_tried_again(allocation):
    attempts = []

    def make(progress):
        attempts.append(1)
        return ALLOCATIONS[allocation]() if len(attempts) == 1 else "model"

    job = models.Background("large model", make)
    with pytest.raises(vlm.ModelError, match="not enough memory to load the large model"):
        job.get()
    assert "not enough memory" in job.status.message and job.get() == "model"


def test_a_bug_is_no_lack_of_memory():
    assert not vlm.is_out_of_memory(RuntimeError("shapes do not fit")) and not vlm.is_out_of_memory(
        vlm.VLMError("out of memory")
    )


class Breaking:
    """A model in which one function breaks when it is told to."""

    def __init__(self, model) -> None:
        self.model, self.broken, self.broke = model, "", threading.Event()

    def __getattr__(self, name):
        if name == self.broken:
            self.broke.set()
            raise AttributeError("a bug")
        return getattr(self.model, name)

    def decode(self, *arguments):
        for step in self.model.decode(*arguments):
            if self.broken == "decode" and step.index == 2:
                self.broke.set()
                raise ZeroDivisionError("a bug")
            yield step


def test_an_exception_in_a_handler_leaves_the_page_and_the_next_run_whole(
    tiny_page, url, visit, picture, tiny_model, monkeypatch
):
    model = Breaking(tiny_model)
    monkeypatch.setattr(
        server.models, "language", models.Background("language", lambda progress: model)
    )
    parts = (
        "#answer .text",
        "#answer .tokens",
        "#stage-strip .strip",
        "#received .where",
        "#view-space .caption",
    )
    with visit(url) as page:
        ask(page, picture, "What is in this image?")
        before = {part: page.inner_text(part) for part in parts}
        model.broken = "ask"  # before anything is shown
        page.fill("#question textarea", "What breaks?")
        page.click("#run")
        assert model.broke.wait(30)
        page.wait_for_function("!VTE.store.state.busy")
        assert {part: page.inner_text(part) for part in parts} == before
        model.broken = "decode"  # in the middle of an answer
        page.fill("#question textarea", "What breaks later?")
        page.click("#run")
        page.wait_for_function(
            "VTE.store.state.record.question === 'What breaks later?' && !VTE.store.state.busy"
        )
        assert page.locator("#answer .token").count() == 2
        model.broken = ""
        ask(page, picture, "And now?")
        assert page.inner_text("#stage-strip .strip") != ""
    assert tiny_model.trace(
        vlm.open_image(picture), "And now?", vlm.Decoding(max_new_tokens=4)
    ).steps


@pytest.mark.long
def test_two_models_asked_for_at_once_are_never_in_memory_at_once(
    tiny_page, only_the_start, tmp_path, monkeypatch, uploaded, configure
):
    configure(models=str(tmp_path))
    monkeypatch.setattr(server.models, "runs_end", 30.0)
    folders = [tiny_llava(tmp_path / str(number), seed=number) for number in range(3)]
    loaded, beside, load = [], [], vlm.load

    def counted(name, *arguments, make_room, **named):
        def room() -> None:
            make_room()
            gc.collect()
            beside.append(sum(each() is not None for each in loaded))

        model = load(name, *arguments, make_room=room, **named)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(vlm, "load", counted)
    threads = [
        threading.Thread(target=lambda folder=folder: list(server.choose(str(folder), False)))
        for folder in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    # whenever one was read, none of the others was there
    assert len(loaded) >= 3 and set(beside) == {0}
    gc.collect()
    assert sum(each() is not None for each in loaded) == 1


@pytest.mark.long
def test_killed_during_a_run_it_starts_again_and_answers(tmp_path):
    environment = {
        "VISUAL_TOKEN_EXPLORER_MODEL": str(tiny_llava(tmp_path / "model")),
        "VISUAL_TOKEN_EXPLORER_CONTRASTIVE": str(tiny_clip(tmp_path / "contrast")),
        "VISUAL_TOKEN_EXPLORER_CACHE": str(tmp_path / "cache"),
    }
    visitor = Visitor.come(3, tmp_path)
    with served(environment) as (address, process):
        page = Page(address)
        job = page.begin(visitor, 100)
        next(job)  # the first of it is here
        process.kill()
        process.wait(60)
    with served(environment) as (address, _):
        asked = Page(address).ask(visitor, 5)
    assert (
        asked.error is None
        and mistaken([asked], alone(vlm.load(tmp_path / "model"), [visitor], 5)) == []
    )


WORDS = "The cache directory {} cannot be written (No space left on device); free some space there."


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A visitor who is not on this machine, and a sentence that names the cache directory."""
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(resources, "only_this_machine", lambda: False)
    return WORDS.format(tmp_path / "cache" / "files")


def failing(error: str):
    raise vlm.FetchError(error)


def test_a_folder_of_the_server_is_told_to_its_log_and_not_to_visitors(elsewhere, caplog):
    job = models.Background("model", lambda progress: failing(elsewhere))
    with pytest.raises(vlm.FetchError):
        job.get()
    *_, last = follow((job,))

    def handler(server: Server, sentence: str) -> None:
        failing(sentence)

    with caplog.at_level(logging.WARNING):
        with pytest.raises(gr.Error) as notice:
            errors.shows_errors(handler)(server, elsewhere)
        said = [
            last["jobs"][0]["message"],
            sentence(notice),
            errors.asked_by_script(handler)(server, [elsewhere])["error"],
        ]
    assert said == [resources.IN_THE_LOG] * 3
    assert elsewhere in caplog.text


def test_who_is_on_the_servers_own_machine_is_told_all_and_other_sentences_are_told_to_all(
    elsewhere, monkeypatch
):
    assert (
        resources.for_visitors("There is no model 'x/y' on the hub; check the name.")
        == "There is no model 'x/y' on the hub; check the name."
    )
    monkeypatch.setattr(resources, "only_this_machine", lambda: True)
    assert resources.for_visitors(elsewhere) == elsewhere


def test_without_a_network_a_visitor_elsewhere_sees_no_path_of_the_server(
    elsewhere, monkeypatch, tmp_path
):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    told = []
    with pytest.raises(vlm.FetchError) as error:
        vlm.load("embedded", progress=lambda fraction, words: told.append(words))
    assert str(tmp_path) in str(error.value)  # for a terminal
    assert str(tmp_path) not in resources.for_visitors(str(error.value)) and not any(
        str(tmp_path) in words for words in told
    )
