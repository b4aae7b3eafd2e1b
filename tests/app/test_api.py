"""The named endpoints, as a program uses them."""

import base64
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.route_utils import delete_files_created_by_app
from gradio_client import handle_file

import vlm
from app import limits
from app.inputs import Photos, opened
from tests.tiny import photo

QUESTION = "What is in this image?"
SETTINGS = (0.0, 0, 1.0, 1.0, 0, 5)


@pytest.fixture
def expected(picture, tiny_model):
    return tiny_model.trace(vlm.open_image(picture), QUESTION, vlm.Decoding(max_new_tokens=5))


def test_only_the_three_endpoints_are_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {
        "/answer",
        "/trace",
        "/similarity",
    }
    assert client.view_api(return_format="dict")["unnamed_endpoints"] == {}


def test_answer_streams_the_answer(client, picture, expected):
    job = client.submit(handle_file(picture), QUESTION, *SETTINGS, api_name="/answer")
    assert job.result() == expected.answer
    assert job.outputs()[-1] == expected.answer


def test_trace_gives_shapes_roles_boxes_tokens_and_steps(client, picture, expected):
    record = client.predict(handle_file(picture), QUESTION, *SETTINGS, api_name="/trace")
    assert {stage["symbol"]: tuple(stage["shape"]) for stage in record["stages"]} == {
        stage.symbol: stage.shape for stage in expected.stages
    }
    assert record["roles"] == list(expected.roles) and record["answer"] == expected.answer
    assert len(record["boxes"]) == len(expected.visual_tokens.boxes)
    assert record["text_tokens"] == list(expected.text_tokens.token_strings)
    assert [step["string"] for step in record["steps"]] == [
        step.token_string for step in expected.steps
    ]


def test_similarity_gives_the_matrices(client, picture, tiny_contrast):
    record = client.predict([handle_file(picture)], "a cat\na dog", api_name="/similarity")
    expected = tiny_contrast.similarity([vlm.open_image(picture)], ["a cat", "a dog"])
    assert record["matrices"]["cosine"] == pytest.approx(expected.cosine, abs=1e-4)
    assert record["logit_scale"] == pytest.approx(expected.logit_scale)


def test_the_documents_example_runs_as_printed(url, monkeypatch, capsys):
    root, document = Path(__file__).parents[2], "assets/docs/api.md"
    [example] = [
        block
        for block in re.findall(r"```python\n(.*?)```", (root / document).read_text(), re.DOTALL)
        if "gradio_client" in block
    ]
    assert "http://127.0.0.1:7860" in example
    monkeypatch.chdir(root)
    names: dict = {}
    exec(compile(example.replace("http://127.0.0.1:7860", url), document, "exec"), names)
    assert names["record"]["answer"] == names["text"] and names["text"] in capsys.readouterr().out


def raw(client, endpoint: str, *data):
    """Call an endpoint with exactly this data: the client's own care for files is left out."""
    import httpx

    with httpx.Client(base_url=client.src, timeout=60) as http:
        event = http.post(f"gradio_api/call/{endpoint}", json={"data": list(data)})
        if event.status_code != 200:
            return event.text
        return http.get(f"gradio_api/call/{endpoint}/{event.json()['event_id']}").text


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("path", ["/etc/hostname", "photo"])
@pytest.mark.parametrize("endpoint", ["answer", "trace", "similarity"])
def test_a_path_on_the_server_is_refused(client, tmp_path, endpoint, path, marked):
    if path == "photo":
        path = str(tmp_path / "private.png")
        photo(50, 50).save(path)
    file = {"path": path, "meta": {"_type": "gradio.FileData"}} if marked else {"path": path}
    reply = (
        raw(client, endpoint, [file], "a cat")
        if endpoint == "similarity"
        else raw(client, endpoint, file, QUESTION, *SETTINGS)
    )
    assert "error" in reply and "complete" not in reply


@pytest.mark.parametrize(
    "sent",
    [
        "data:image/png;base64,!",
        "data:text/html,<b>",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:",
        "data:image/png;base64,",
    ],
)
def test_a_data_url_that_holds_no_photo_is_refused(client, sent):
    with pytest.raises(
        Exception, match=r"not an image this page can read|not of the kind that is expected"
    ):
        client.predict([sent], "a cat", api_name="/similarity")


def test_a_photo_inside_a_data_url_needs_room_and_is_deleted_like_an_upload(
    picture, uploads, monkeypatch
):
    sent = ["data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()]
    with gr.Blocks() as page:
        photos = Photos(file_count="multiple")
    [[file]] = opened([photos], [sent])
    assert (
        Path(file["path"]).read_bytes() == picture.read_bytes()
        and uploads in Path(file["path"]).parents
    )
    delete_files_created_by_app(page, 0)
    assert not Path(file["path"]).exists()
    monkeypatch.setattr(
        limits.shutil, "disk_usage", lambda path: SimpleNamespace(free=limits.SPARE)
    )
    with pytest.raises(gr.Error, match="no room for more photos"):
        opened([photos], [sent])
    assert not Path(file["path"]).exists()


def test_an_address_elsewhere_is_not_fetched(client):
    reply = raw(
        client,
        "answer",
        {"path": "http://127.0.0.1:9/x.png", "url": "http://127.0.0.1:9/x.png"},
        QUESTION,
        *SETTINGS,
    )
    assert "error" in reply and "complete" not in reply


def test_a_bad_question_comes_back_as_its_sentence(client, picture):
    with pytest.raises(Exception, match="The question is empty"):
        client.predict(handle_file(picture), "", *SETTINGS, api_name="/answer")


def test_the_servers_files_are_not_served(client):
    import httpx

    for path in (
        "/etc/passwd",
        shutil.__file__,
        "app/page.py",
        "README.md",
        "vlm/pipeline/model.py",
    ):
        assert httpx.get(f"{client.src}gradio_api/file={path}").status_code in (403, 404), path
