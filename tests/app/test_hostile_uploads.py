"""Uploads that are too many, too large, given up half-way or called what leads elsewhere, and paths
that are none of an upload.
"""

import contextlib
import os
import socket
import zlib
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest

from app import limits
from tests.app.asking import is_refused, run, server
from tests.tiny import photo

pytestmark = pytest.mark.usefixtures("tiny_page")


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "a\0b",
        7,
        [],
        {},
        True,
        b"x",
        "x" * 5_000,
        "http://127.0.0.1/x.png",
        "file:///etc/passwd",
        "\ud800",
        "/proc/self/environ",
        "/dev/zero",
        "/dev/stdin",
        "UPLOADS",
        "UPLOADS/..",
        "UPLOADS/../x.png",
    ],
)
def test_what_is_no_path_of_an_upload_is_refused(uploads, path):
    if isinstance(path, str):
        path = path.replace("UPLOADS", str(uploads))
    assert is_refused(lambda: run(path)) and server.photo_size(path) == (gr.skip(), gr.skip())
    assert is_refused(lambda: server.similarity_endpoint([path], "a cat"))


def test_many_large_photos_are_compared_smaller(upload, monkeypatch, tiny_contrast):
    """Thirty-two photos of as many pixels as one may have would take five gigabytes."""
    monkeypatch.setattr("app.handlers.photos.MAX_PIXELS", 5_000)
    monkeypatch.setattr("app.handlers.photos.SMALLER", 20)
    paths = [upload(photo(50, 60, seed=number), f"large{number}.png") for number in range(3)]
    told, _ = server.compare(
        paths[0], paths[1:], "a cat", "", False, server.models.contrastive_name, ""
    )
    assert told["sizes"] == [[50, 60], [17, 20], [17, 20]] and [
        "scaled down to 20 x 17" in note for note in told["notes"]
    ] == [True, True]


def test_uploads_have_an_end(wire, uploads, monkeypatch, picture):
    def upload(content: bytes, name: str = "x.png") -> httpx.Response:
        return wire.post("gradio_api/upload", files={"files": (name, content)})

    assert upload(picture.read_bytes()).status_code == 200
    used = sum(limits.file_sizes(uploads))
    monkeypatch.setattr(limits, "UPLOADS", used + 5_000)
    for _ in range(5):
        reply = upload(os.urandom(20_000))
        assert reply.status_code == 507 and reply.text == limits.FULL
    boundary, part = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="y.png"\r\n\r\n',
        os.urandom(20_000),
    )
    reply = wire.post(
        "gradio_api/upload",
        content=iter([boundary, *[part] * 5, b"\r\n--x--\r\n"]),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert reply.status_code in (400, 413, 507)
    assert sum(limits.file_sizes(uploads)) == used  # no half of a file is left
    assert upload(b"small", "tiny.png").status_code == 200  # what fits is taken
    monkeypatch.setattr(
        limits.shutil, "disk_usage", lambda path: SimpleNamespace(free=limits.SPARE)
    )
    assert upload(b"small").status_code == 507


def comes(true, wire) -> bool:
    """Whether something comes to be true while the server answers a thousand other requests."""
    return true() or any(wire.get("config").is_success and true() for _ in range(1000))


def test_who_leaves_in_the_middle_of_an_upload_leaves_nothing(wire, uploads):
    used = sum(limits.file_sizes(uploads))
    host, port = wire.base_url.host, wire.base_url.port
    with contextlib.ExitStack() as visitors:
        for _ in range(3):
            connection = visitors.enter_context(socket.create_connection((host, port)))
            connection.sendall(
                f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Type:"
                " multipart/form-data; boundary=x\r\nContent-Length: 900000\r\n\r\n".encode()
            )
            connection.sendall(
                b'--x\r\nContent-Disposition: form-data; name="files"; filename="y.png"\r\n\r\n'
                + os.urandom(300_000)
            )
        assert comes(
            lambda: sum(limits.file_sizes(uploads)) > used + 3 * 200_000, wire
        )  # it lies there
    assert comes(lambda: sum(limits.file_sizes(uploads)) == used, wire)


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.png",
        "/etc/evil.png",
        "..\\evil.png",
        "a\0b.png",
        "x" * 300 + ".png",
        "<img src=x>.png",
        "",
        ".",
        "..",
        "%2e%2e%2fevil.png",
        "con",
        "\u202egnp.exe",
    ],
)
def test_an_upload_lies_in_the_folder_of_uploads_whatever_it_is_called(url, uploads, name):
    reply = httpx.post(
        f"{url}gradio_api/upload", files={"files": (name, zlib.compress(name.encode()))}
    )
    assert reply.status_code in (200, 400, 422, 500)
    if reply.status_code == 200:
        [path] = reply.json()
        assert os.path.realpath(path).startswith(f"{uploads}{os.sep}") and os.path.isfile(path)


def test_old_uploads_are_deleted_and_the_examples_stay(uploads, upload):
    """What Gradio does every ten minutes with what is older than six hours, done here with whatever
    is older than now.
    """
    from gradio.route_utils import delete_files_created_by_app

    from app.page import build

    page = build(server)
    assert page.delete_cache == (limits.EVERY, limits.KEPT)
    old = upload(photo(30, 40), "old.png")
    page.upload_file_set.add(old)
    delete_files_created_by_app(page, 0)
    assert not os.path.exists(old)
    shown = [
        sample[0]["path"]
        for block in page.blocks.values()
        if isinstance(block, gr.Dataset)
        for sample in block.samples
        if isinstance(sample[0], dict)
    ]
    assert len(shown) == len(server.example_photos()) > 3 and all(map(os.path.exists, shown))
