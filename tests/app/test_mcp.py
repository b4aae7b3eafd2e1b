"""The named endpoints as tools of the Model Context Protocol, asked by a client of it."""

import ast
import asyncio
import base64
import re
from pathlib import Path
from types import SimpleNamespace

import httpx
import mcp
import pytest
from mcp.client.streamable_http import streamable_http_client

import vlm
from app import limits
from app.page import build, launch_options
from tests.app.asking import in_a_thread, server

ROOT = Path(__file__).parents[2]
DOCUMENT = "assets/docs/api.md"
QUESTION = "What is in this image?"
TOOLS = ("answer_endpoint", "trace_endpoint", "similarity_endpoint")


@pytest.fixture(scope="module")
def served(tiny_page):
    """The page with its tools, served."""
    demo = build(server)
    _, address, _ = demo.launch(
        prevent_thread_lock=True,
        quiet=True,
        server_name="127.0.0.1",
        mcp_server=True,
        **launch_options(demo),
    )
    yield SimpleNamespace(address=address, demo=demo)
    demo.close()


def asked(address: str, *calls: tuple[str, dict]) -> tuple[list, list]:
    """The tools there are, and what comes of calling some."""

    async def ask():
        async with (
            streamable_http_client(f"{address}gradio_api/mcp/") as (
                read,
                write,
                _,
            ),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            return (await session.list_tools()).tools, [
                await session.call_tool(*call) for call in calls
            ]

    return in_a_thread(lambda: asyncio.run(ask()))


def data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_the_tools_are_the_three_endpoints_and_say_what_they_take(served):
    tools, _ = asked(served.address)
    assert [tool.name for tool in tools] == list(TOOLS)
    for tool in tools:
        assert tool.description.startswith("`/") and all(
            each.get("description") for name, each in tool.inputSchema["properties"].items()
        ), tool


def test_a_tool_answers_as_the_library_does(served, picture, tiny_model, tiny_contrast):
    arguments = {"photo": data_url(picture), "question": QUESTION, "max_new_tokens": 5}
    _, (answer, trace, match) = asked(
        served.address,
        ("answer_endpoint", arguments),
        ("trace_endpoint", arguments),
        ("similarity_endpoint", {"photos": [data_url(picture)], "texts": "a cat\na dog"}),
    )
    expected = tiny_model.trace(vlm.open_image(picture), QUESTION, vlm.Decoding(max_new_tokens=5))
    assert answer.content[0].text == expected.answer
    assert [step["string"] for step in ast.literal_eval(trace.content[0].text)["steps"]] == [
        step.token_string for step in expected.steps
    ]
    cosines = tiny_contrast.similarity([vlm.open_image(picture)], ["a cat", "a dog"]).cosine
    assert ast.literal_eval(match.content[0].text)["matrices"]["cosine"] == pytest.approx(
        cosines, abs=1e-4
    )


def test_a_refusal_reaches_the_model_as_its_sentence(served, picture, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture.read_bytes())
    _, replies = asked(
        served.address,
        ("answer_endpoint", {"photo": data_url(picture), "question": " "}),
        ("answer_endpoint", {"photo": str(secret), "question": QUESTION}),
        ("answer_endpoint", {"photo": "http://127.0.0.1:9/x.png", "question": QUESTION}),
    )
    assert all(reply.isError for reply in replies)
    assert "question is empty" in replies[0].content[0].text
    assert "Traceback" not in "".join(reply.content[0].text for reply in replies)


def test_photos_inside_data_urls_are_deleted_like_uploads(served, picture, uploads):
    before = {path for path in uploads.rglob("*") if path.is_file()}
    single, several = (
        f"data:image/png;base64,{base64.b64encode(picture.read_bytes() + bytes([number])).decode()}"
        for number in (1, 2)
    )
    asked(
        served.address,
        ("answer_endpoint", {"photo": single, "question": QUESTION, "max_new_tokens": 1}),
        ("similarity_endpoint", {"photos": [several], "texts": "a cat"}),
    )
    new = {path for path in uploads.rglob("*") if path.is_file()} - before
    assert new and {str(path) for path in new} <= set().union(*served.demo.temp_file_sets)


def test_where_there_is_no_room_no_photo_is_taken(served, monkeypatch):
    monkeypatch.setattr(
        limits.shutil, "disk_usage", lambda path: SimpleNamespace(free=limits.SPARE)
    )
    reply = httpx.post(f"{served.address}gradio_api/mcp/", content=b" " * 300_000)
    assert (reply.status_code, reply.text) == (507, limits.FULL)


def test_the_documents_example_runs_as_printed(served, monkeypatch, capsys):
    [example] = [
        block
        for block in re.findall(r"```python\n(.*?)```", (ROOT / DOCUMENT).read_text(), re.DOTALL)
        if "ClientSession" in block
    ]
    assert "http://127.0.0.1:7860/" in example
    monkeypatch.chdir(ROOT)
    in_a_thread(
        lambda: exec(
            compile(example.replace("http://127.0.0.1:7860/", served.address), DOCUMENT, "exec"),
            {},
        )
    )
    told = capsys.readouterr().out
    assert str(list(TOOLS)) in told and "'VT': [16," in told
