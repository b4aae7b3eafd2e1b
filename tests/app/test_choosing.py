"""Another vision-language model at a visitor's wish: what is loaded, what is let go, what is
refused, and what stays.
"""

import gc
import json
import threading
import weakref

import gradio as gr
import pytest
from gradio.context import LocalContext

import vlm
from app import models
from app.handlers import permissions
from app.run_key import RunKey
from tests.app.asking import GREEDY, QUESTION, run, sentence, server
from tests.hub import COMMIT, NAME
from tests.tiny import photo, tiny_llava

pytestmark = pytest.mark.usefixtures("tiny_page", "only_the_start")


@pytest.fixture
def folders(tmp_path, configure):
    """Two tiny checkpoints in a folder that is open to visitors."""
    configure(models=str(tmp_path))
    return [
        tiny_llava(tmp_path / name, vision, seed=seed)
        for name, vision, seed in (("first", "siglip", 1), ("second", "dinov2", 2))
    ]


def choose(name, four_bit=False) -> tuple[models.Choice, str, list[dict]]:
    """The choice, what is in use, and every state of the loading that was shown."""
    *shown, (_, choice, in_use) = server.choose(str(name), four_bit)
    return choice, in_use["label"].removeprefix("Model: "), [each[0] for each in shown]


def test_another_model_answers_and_the_first_is_still_there(uploaded, folders):
    first, _ = folders
    choice, in_use, shown = choose(first)
    assert in_use == str(first) == choice.name
    assert [job["state"] for job in shown[-1]["jobs"]] == ["ready"] and any(
        job["state"] == "loading" for each in shown for job in each["jobs"]
    )
    here, there = run(uploaded), run(uploaded, choice=choice)
    assert here[0][0]["run"] != there[0][0]["run"] and there[0][0]["model"] == str(first)
    expected = (
        vlm.load(first)
        .trace(vlm.open_image(uploaded), QUESTION, vlm.Decoding(max_new_tokens=6))
        .answer
    )
    assert there[-2][2]["answer"] == expected
    assert run(uploaded)[-2][2]["answer"] == here[-2][2]["answer"]


def test_one_model_beside_the_embedded_one_is_in_memory(uploaded, folders):
    choice, *_ = choose(folders[0])
    run(uploaded, choice=choice)
    held = weakref.ref(server.models.language_model(choice))
    key = run(uploaded, choice=choice)[0][0]["run"]
    choose(folders[1])
    gc.collect()
    assert (
        held() is None and choice not in server.models._chosen and len(server.models._chosen) == 1
    )
    assert server.runs.known("prefill", RunKey.parse(key)) is None
    assert "no longer in memory" in server.lens([key, 0])["error"]
    assert server.layer([key, 1])["rgb"]  # what was computed is still there


def test_a_model_that_was_let_go_comes_back_when_it_is_asked_for(uploaded, folders):
    choice, *_ = choose(folders[0])
    before = run(uploaded, choice=choice)[-2][2]["answer"]
    choose(folders[1])
    assert run(uploaded, choice=choice)[-2][2]["answer"] == before


def test_a_run_under_way_keeps_its_model(uploaded, folders):
    choice, *_ = choose(folders[0])
    whole = run(uploaded, choice=choice)[-2][2]["answer"]
    server.budget.forget(choice.tag)
    under_way = server.run(
        uploaded, None, QUESTION, choice, "pca", 2, 0, 15, "cosine", 0.0, 0, 1.0, 1.0, 0, 6
    )
    next(under_way), next(under_way)
    choose(folders[1])
    assert list(under_way)[-3][2]["answer"] == whole


def test_the_views_of_a_run_ask_the_model_that_made_it(uploaded, folders):
    choice, *_ = choose(folders[0])
    key = run(uploaded, choice=choice)[0][0]["run"]
    model = server.models.language_model(choice)
    trace = model.encode(vlm.open_image(uploaded), QUESTION)
    expected = model.inspect(trace).logit_lens(3, count=4)
    assert server.lens([key, 3])["layers"] == expected
    assert "rgb" in server.layer([key, 1]) and "cosine" in server.rows([key, 3, 1])


def test_what_cannot_be_loaded_leaves_everything_as_it_was(uploaded, folders):
    choice, *_ = choose(folders[0])
    model = server.models.language_model(choice)
    (folders[1] / "config.json").write_text("{}")
    shown = []
    with pytest.raises(gr.Error) as error:
        for update in server.choose(str(folders[1]), False):
            shown.append(update)
    assert (
        sentence(error) == shown[-1][0]["jobs"][-1]["message"]
        and shown[-1][0]["jobs"][-1]["state"] == "failed"
    )
    assert all(update[1] == gr.skip() and update[2] == gr.skip() for update in shown)
    assert server.models.language_model(choice) is model and list(server.models._chosen) == [choice]


def test_a_model_that_turns_out_to_be_broken_takes_the_other_out_of_memory_but_not_away(
    uploaded, folders
):
    choice, *_ = choose(folders[0])
    before = run(uploaded, choice=choice)[-2][2]["answer"]
    (folders[1] / "processor_config.json").write_text("[]")
    with pytest.raises(gr.Error):
        choose(folders[1])
    server.runs.clear("trace", "answer", "operator")
    assert run(uploaded, choice=choice)[-2][2]["answer"] == before


def test_the_start_model_can_be_let_go_too_when_it_is_not_the_embedded_one(folders, monkeypatch):
    first, second = folders
    monkeypatch.setattr(server.models, "name", str(first))
    monkeypatch.setattr(server.models, "first", models.Choice(str(first)))
    monkeypatch.setattr(
        server.models,
        "language",
        models.Background("vision-language model", server.models._load_language),
    )
    held = weakref.ref(server.models.language.get())
    choose(second)
    gc.collect()
    assert held() is None and server.models.language.status.state == "idle"
    with pytest.raises(vlm.VLMError, match="no longer in memory"):
        server.models.made_by(server.models.first.tag)
    assert (
        choose(first)[1] == str(first)
        and server.models.language.get()
        and server.models._chosen == {}
    )


def test_two_who_ask_at_once_get_one_after_the_other(folders):
    results = {}
    threads = [
        threading.Thread(
            target=lambda folder=folder: results.setdefault(str(folder), choose(folder)[1])
        )
        for folder in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (
        results == {str(folder): str(folder) for folder in folders}
        and len(server.models._chosen) == 1
    )


def test_a_model_of_the_hub_is_fetched_with_its_bytes_told(online, uploaded):
    choice, in_use, shown = choose(NAME)
    messages = [each["jobs"][0]["message"] for each in shown]
    assert in_use == f"{NAME}@{COMMIT[:12]}" and any("MB of " in message for message in messages)
    assert run(uploaded, choice=choice)[0][0]["model"] == f"{NAME}@{COMMIT}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "/etc",
        "../..",
        ".",
        "~/models",
        "tests",
        "a\0b",
        "C:\\models",
        "x" * 400,
        "nonsense",
        "a/b/c",
    ],
)
def test_a_name_that_may_not_be_asked_for_is_refused_in_one_sentence(name):
    with pytest.raises(gr.Error) as error:
        choose(name)
    assert sentence(error)


class Served:
    """A page that is served somewhere."""

    def __init__(self, server_name: str | None, share: bool = False) -> None:
        self.server_name, self.share = server_name, share


class Asked:
    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def served():
    """Say how the page is served and who asks; afterwards it is not served."""
    tokens = []

    def how(server_name, share=False, **headers):
        tokens.append((LocalContext.blocks, LocalContext.blocks.set(Served(server_name, share))))
        tokens.append((LocalContext.request, LocalContext.request.set(Asked(**headers))))

    yield how
    for variable, token in reversed(tokens):
        variable.reset(token)


@pytest.mark.parametrize(
    ("server_name", "share", "headers", "open_to"),
    [
        ("127.0.0.1", False, {}, "all"),
        ("localhost", False, {}, "all"),
        ("0.0.0.0", False, {}, "none"),
        ("192.168.1.5", False, {}, "none"),
        (None, False, {}, "none"),
        ("127.0.0.1", True, {}, "none"),
        ("127.0.0.1", False, {"x_forwarded_for": "10.0.0.1"}, "none"),
    ],
)
def test_the_hub_is_open_to_this_machine_alone_unless_the_operator_says_so(
    served, server_name, share, headers, open_to, configure
):
    served(server_name, share, **headers)
    configure(hub="")
    assert permissions.hub_is_open_to(server.settings) == open_to
    for said, then in {"1": "all", "listed": "listed", "0": "none", "yes please": "none"}.items():
        configure(hub=said)
        assert permissions.hub_is_open_to(server.settings) == then


@pytest.mark.parametrize("said", ["0", "listed"])
def test_a_visitor_elsewhere_cannot_make_the_server_fetch_what_the_operator_did_not_allow(
    served, monkeypatch, uploaded, said, configure
):
    served("0.0.0.0")
    configure(hub=said)
    monkeypatch.setattr(vlm, "load", lambda *arguments, **named: pytest.fail("it was loaded"))
    monkeypatch.setattr(
        vlm, "load_contrastive", lambda *arguments, **named: pytest.fail("it was loaded")
    )
    for name in (
        "someone/anything",
        f"{vlm.MODELS[0].name}@main",
        *([vlm.MODELS[0].name] if said == "0" else []),
    ):
        with pytest.raises(gr.Error, match=permissions.HUB_VARIABLE):
            choose(name)
    for name in ("hf-hub:someone/anything", "ViT-H-14/laion2b_s32b_b79k"):
        with pytest.raises(gr.Error, match=permissions.HUB_VARIABLE):
            server.compare(uploaded, None, "a cat", "", False, name, "")
    names = [value for _, value in server.offered()["choices"]]
    assert names[0] == server.models.name and (len(names) > 1) == (said == "listed")
    if said == "listed":
        assert permissions.check_model(
            server.settings, vlm.MODELS[0].name
        ) and permissions.check_contrastive(
            server.settings, f"{vlm.LISTED[0].name}/{vlm.LISTED[0].pretrained}"
        )


def test_the_list_tells_parameters_memory_and_licence():
    label = dict((value, label) for label, value in server.offered()["choices"])[
        "google/gemma-3-4b-it"
    ]
    assert "4.3 B" in label and "8.6 GB" in label and "Gemma" in label and "accepted" in label


def test_another_model_sees_another_photo_too(upload, folders):
    choice, *_ = choose(folders[0])
    path = upload(photo(60, 100, seed=9), "other.png")
    assert run(path, choice=choice)[0][0]["photo_size"] == run(path)[0][0]["photo_size"]


def with_settings(folder, **settings):
    """The checkpoint with these in its generation_config.json."""
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


def test_the_controls_begin_with_what_came_with_a_model_and_the_page_says_so(uploaded, folders):
    own = {"repetition_penalty": 1.35, "suppress_tokens": [5, 6], "stop_strings": ["<b>"]}
    drawing = {"do_sample": True, "temperature": 0.7, "top_k": 20, "min_p": 0.1}
    folder = with_settings(folders[0], **own, **drawing, num_beams=4)
    choice, *_ = choose(folder)
    words, penalty = server.own_settings(choice)
    assert penalty["value"] == 1.35 and penalty["minimum"] == 1 and penalty["maximum"] == 2
    assert words == (
        "Came with the model and obeyed: repetition_penalty 1.35, suppress_tokens (2), stop_strings"
        " (1). Obeyed above temperature 0: min_p 0.1. For sampling it suggests: do_sample,"
        " temperature 0.7, top_k 20. It also asks for what is not done here: num_beams 4."
    )
    settings = (*GREEDY[:3], penalty["value"], *GREEDY[4:])
    said = run(uploaded, choice=choice, settings=settings)[-2][2]["answer"]
    model = vlm.load(folder)
    trace = model.encode(vlm.open_image(uploaded), QUESTION)
    inputs = model.on_device(model.inputs(trace.encoded_image.images, QUESTION))
    tokens = model.network.generate(
        **inputs,
        do_sample=False,
        num_beams=1,
        max_new_tokens=6,
        tokenizer=model.processor.tokenizer,
    )[0, len(trace.input_ids) :]
    assert said == model.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def test_a_model_that_came_with_nothing_says_so_and_has_no_penalty(folders):
    choice, *_ = choose(folders[1])
    words, penalty = server.own_settings(choice)
    assert "no settings of its own" in words and penalty["value"] == 1


def test_what_a_checkpoint_says_is_text(folders):
    choice, *_ = choose(with_settings(folders[0], forced_eos_token_id="<img src=x>"))
    assert "&lt;img src=x&gt;" in server.own_settings(choice)[0]


def test_a_penalty_that_no_control_has_is_said(folders):
    choice, *_ = choose(with_settings(folders[0], repetition_penalty=7.5))
    words, penalty = server.own_settings(choice)
    assert "repetition_penalty is 7.5" in words and penalty == gr.skip()


def test_who_comes_is_told_once_and_a_links_penalty_stays(tiny_page, monkeypatch):
    from tests.app.test_take_home import LINK

    monkeypatch.setitem(
        vars(server.models.language.get().network.generation_config), "repetition_penalty", 1.2
    )
    for link, expected in (("", 1.2), (LINK, None)):
        told = [update[1:] for update in server.arrive(link) if update[1] != gr.skip()]
        [(words, penalty)] = told
        assert "repetition_penalty 1.2" in words
        assert penalty == gr.skip() if expected is None else penalty["value"] == expected
