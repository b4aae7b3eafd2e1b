"""Programs that skip the page: whatever they send, they get one sentence, and the page, the disk and everybody's runs stay as they were."""

import contextlib
import http.server
import json
import math
import os
import pickle
import socket
import threading
import zlib
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vlm
from app import bounds, handlers, models
from app.handlers import permissions
from app.handlers.links import restored
from app.inputs import asks_elsewhere
from tests.app.asking import GREEDY, LAYOUT, QUESTION, answers, run
from tests.tiny import photo, tiny_clip, tiny_llava
from vlm.errors import VLMError

pytestmark = pytest.mark.usefixtures("tiny_page")
NUMBERS = (math.nan, math.inf, -math.inf, -1, 1e308, -1e308, 10**400, 2**63, -(2**63), 0.5, 1e-320, 1e-40, "1", "", "NaN", "1e999", None, True, [], [0], {}, {"a": 1}, b"1", 1j)
BOUNDED = settings(max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["KEY", "ANSWER", "../..", "/etc/passwd", "<image>", "mean", "remove", "sweep", "\ud800", 10**30]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["run", "answer", "kind", "tokens", "path", "seed", "how", "word", "other"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
ASKED_BY_SCRIPT = {name: getattr(handlers, name) for name in ("layer", "rows", "word", "lens", "lens_rows", "word_maps", "looked", "relevancy", "ablation", "cell", "tensors")}


@pytest.fixture
def kept(uploaded):
    """The keys of a run and of its answer."""
    return run(uploaded)[0][0]["run"], answers(uploaded)[-1]["key"]


def refused(call) -> bool:
    """Whether it was refused, and that in one sentence; any other error is ours."""
    try:
        call()
    except (VLMError, gr.Error) as error:
        message = str(getattr(error, "message", error))
        assert "\n" not in message and 10 < len(message) < 400 and "Traceback" not in message, message
        return True
    return False


@pytest.mark.parametrize("place", range(len(GREEDY)))
def test_a_setting_that_is_no_number_is_refused(place):
    for value in NUMBERS:
        given = [*GREEDY]
        given[place] = value
        taken = not refused(lambda given=given: handlers.decoding(*given))
        assert not taken or isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 2**63


@pytest.mark.parametrize("temperature", [0.001, 0.01, 5.0])
@pytest.mark.parametrize("top", [(0, 1.0), (1, 0.01), (1_000_000, 0.01)])
def test_whatever_setting_is_taken_gives_an_answer(uploaded, temperature, top):
    steps = answers(uploaded, settings=(temperature, *top, 5.0, 2**63 - 1, 3))[-1]["steps"]
    assert steps and all(0 <= step["decoding"] <= 1 for step in steps)


def test_a_temperature_too_small_for_its_logits_is_refused():
    for temperature in (5e-324, 1e-40, 1e-5):
        with pytest.raises(vlm.DecodingError, match="greedy"):
            vlm.Decoding(temperature=temperature)


@pytest.mark.parametrize("place", range(len(LAYOUT)))
def test_a_plane_or_a_size_that_is_no_number_is_refused(place):
    for value in NUMBERS:
        for method in ("pca", "tsne"):
            given = [method, *LAYOUT[1:]]
            given[place] = value
            taken = not refused(lambda given=given: handlers.Plane.of(*given))
            assert not taken or place in (1, 2, 3) and isinstance(value, (int, float)) and not isinstance(value, bool)
        assert refused(lambda value=value: handlers.ledger(value, 100)) and refused(lambda value=value: handlers.ledger(100, value))


@pytest.mark.parametrize("name", ["tokens", "seed", "factor", "layer", "share", "first", "last", "step", "word", "how", "way", "other", "kind", "answer"])
def test_an_experiment_with_what_is_no_number_is_refused_or_done(kept, name):
    whole = {"tokens": [1], "how": "mean", "factor": 0.5, "seed": 0, "layer": 1, "share": 0.5, "way": "picture → answer", "first": 1, "last": 2, "other": kept[0], "word": "", "step": 0}
    for kind in ("remove", "rescale", "fastv", "knockout", "sweep", "paste"):
        for value in (math.nan, math.inf, -1, 10**400, "1", None, [], {}, "x" * 5_000, [10**30], "\ud800"):
            asked = whole | {"answer": kept[1], "kind": kind} | {name: value}
            events = handlers.experiment(SimpleNamespace(_data=asked))
            refused(lambda events=events: next(events))
            events.close()


@BOUNDED
@given(name=st.sampled_from([*ASKED_BY_SCRIPT, "experiment", "findings"]), asked=JSON | st.lists(JSON, min_size=2, max_size=3))
def test_whatever_a_script_asks_is_answered_in_a_dictionary(kept, name, asked):
    keys = {"KEY": kept[0], "ANSWER": kept[1]}
    asked = [keys.get(part, part) if isinstance(part, str) else part for part in asked] if isinstance(asked, list) else asked
    if name in ASKED_BY_SCRIPT:
        reply = ASKED_BY_SCRIPT[name](asked)
        assert isinstance(reply, dict) and ("error" not in reply or (len(reply["error"]) < 400 and "\n" not in reply["error"]))
    else:
        refused(lambda: next(getattr(handlers, name)(SimpleNamespace(_data=asked))))


@BOUNDED
@given(
    link=st.dictionaries(
        st.sampled_from(["example", "question", "model", "temperature", "seed", "top_k", "selected", "open", "layer", "method", "dimensions"]),
        st.text(max_size=12) | st.sampled_from(["chelsea.jpg", "../chelsea.jpg", "nan", "1e999", "9" * 4_400, "٣", "pca", "\ud800"]), max_size=11,
    )
)  # fmt: skip
def test_whatever_a_link_says_is_taken_or_left(link):
    good = {"example": "chelsea.jpg", "question": "What?", "temperature": "0", "top_k": "0", "top_p": "1", "repetition_penalty": "1", "seed": "0", "max_new_tokens": "4"}
    good |= {"method": "pca", "dimensions": "2", "projection_seed": "0", "neighbours": "15", "metric": "cosine"}
    found = restored("#" + "&".join(f"{name}={value}" for name, value in (good | link).items()))
    assert found is None or (os.path.basename(found[0]) == "chelsea.jpg" and all(0 <= token < 10**6 for token in found[-1]["selected"]))
    json.dumps(found and found[-1]).encode()
    assert restored(None) is restored(["#"]) is restored("#" * 10_000) is None


NAMES = (
    "", " ", "/", "/etc", "/etc/passwd", "//etc", "..", "../..", "./", "~", "~root", "models/../../etc", "a/../b", "OPEN/..", "OPEN/../closed", "OPEN/link", "OPEN/circle", "OPEN\0/x", "a/b@../../x", "a/b@", "a/b@-x", "a/b@x y",
    "a/b@" + "x" * 200, "x" * 290, "x" * 260 + "/y", "x" * 5_000, "ä/b", "a/ｂ", "a/b\n", "a/b c", "a/b?x", "a/b#x", "http://127.0.0.1/x", "https://huggingface.co/a/b", "file:///etc", "hf-hub:a/b", "hf-hub:../x", "hf-hub:/etc",
    "local-dir:/etc", "local-dir:../..", "local-dir:", "ViT-B-32", "ViT-B-32/", "ViT-B-32//etc/passwd", "ViT-B-32/../../x.pt", "ViT-B-32/x.pt", "RN50/openai/../x", "a\\b", "C:\\x", "CON", "\u202ea/b", "\ud800/b", "<b>/x", "${x}/y", "a/b;id",
    "--help", "-", "@", "@main", ".", ".git", "vlm", "app.py", "tests", "assets/embedded",
)  # fmt: skip


@pytest.mark.parametrize("hub", ["0", "listed"])
def test_no_name_of_a_model_leaves_the_folder_that_is_open(tmp_path, monkeypatch, uploaded, hub):
    open_folder, closed = tmp_path / "open", tmp_path / "closed"
    open_folder.mkdir(), closed.mkdir()
    (open_folder / "link").symlink_to(closed)
    (open_folder / "circle").symlink_to(open_folder / "circle")
    monkeypatch.setenv(permissions.FOLDER_VARIABLE, str(open_folder))
    monkeypatch.setenv(permissions.HUB_VARIABLE, hub)
    monkeypatch.setattr(vlm, "load", lambda *arguments, **named: pytest.fail("it was loaded"))
    monkeypatch.setattr(vlm, "load_contrastive", lambda *arguments, **named: pytest.fail("it was loaded"))
    for name in (*(name.replace("OPEN", str(open_folder)) for name in NAMES), None, 7, [], {}, True):
        for check in (permissions.check_model, permissions.check_contrastive):
            assert refused(lambda: check(name)) or name == str(open_folder / ".."), (check.__name__, name)
        assert refused(lambda: list(handlers.choose(name, False)))
        assert refused(lambda: list(handlers.bring(name)))
        if name:
            assert refused(lambda: handlers.compare(uploaded, None, "a cat", "", False, name, ""))


class Canary:
    """Unpickled it leaves a trace."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "pickle called safetensors", "code beside it", "code in a processor", "open_clip pickle", "open_clip tokenizer"])
def test_nothing_in_a_model_s_folder_is_run(tmp_path, monkeypatch, uploaded, kind):
    monkeypatch.setenv(permissions.FOLDER_VARIABLE, str(tmp_path))
    folder, canary, evil = tmp_path / "model", tmp_path / "it ran", pickle.dumps(Canary(tmp_path / "it ran"))
    if kind == "open_clip tokenizer":
        configuration = tiny_clip(folder) / "open_clip_config.json"
        content = json.loads(configuration.read_text())
        content["model_cfg"]["text_cfg"] |= {"hf_tokenizer_name": "its own", "tokenizer_kwargs": {"trust_remote_code": True}}
        configuration.write_text(json.dumps(content))
        (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["modeling.M", None]}, "tokenizer_class": "M"}))
        (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
        (folder / "modeling.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass M: pass\n")
        assert refused(lambda: handlers.compare(uploaded, None, "a cat", "", False, str(folder), ""))
    elif kind == "open_clip pickle":
        tiny_clip(folder)
        (folder / "open_clip_model.safetensors").unlink()
        (folder / "open_clip_pytorch_model.bin").write_bytes(evil)
        assert refused(lambda: handlers.compare(uploaded, None, "a cat", "", False, str(folder), ""))
    else:
        tiny_llava(folder)
        if kind.startswith("pickle"):
            weights = folder / "model.safetensors"
            weights.unlink()
            (weights if "called" in kind else folder / "pytorch_model.bin").write_bytes(evil)
        else:
            (folder / "modeling.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass M: pass\n")
            for name in ("config.json",) if kind == "code beside it" else ("processor_config.json", "tokenizer_config.json"):
                content = json.loads((folder / name).read_text())
                content |= {"auto_map": {each: "modeling.M" for each in ("AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer")}}
                content |= {"model_type": "its-own"} if name == "config.json" else {}
                (folder / name).write_text(json.dumps(content))
        models._chosen.pop(models.Choice(str(folder)), None)
        came = refused(lambda: list(handlers.choose(str(folder), False)))
        assert came or kind == "code in a processor"  # its own code is not asked: transformers' processor of that kind is used
    assert not canary.exists()


@pytest.mark.parametrize("path", [None, "", "a\0b", 7, [], {}, True, b"x", "x" * 5_000, "http://127.0.0.1/x.png", "file:///etc/passwd", "\ud800", "/proc/self/environ", "/dev/zero", "/dev/stdin", "UPLOADS", "UPLOADS/..", "UPLOADS/../x.png"])
def test_what_is_no_path_of_an_upload_is_refused(uploads, path):
    if isinstance(path, str):
        path = path.replace("UPLOADS", str(uploads))
    assert refused(lambda: run(path)) and handlers.photo_size(path) == (gr.skip(), gr.skip())
    assert refused(lambda: handlers.similarity_endpoint([path], "a cat"))


@pytest.mark.parametrize("question", [None, 7, [], {}, True, "\ud800", "\0", "x" * 2_001])
def test_what_is_no_question_is_refused(uploaded, question):
    assert refused(lambda: run(uploaded, question)) or question == "\0"
    for texts in (question, f"a cat\n{question}" if question == "\ud800" else None):
        assert refused(lambda: handlers.similarity_endpoint([uploaded], texts)) or question == "\0"


def test_many_large_photos_are_compared_smaller(upload, monkeypatch, tiny_contrast):
    """Thirty-two photos of as many pixels as one may have would take five gigabytes."""
    monkeypatch.setattr("app.handlers.photos.MAX_PIXELS", 5_000)
    monkeypatch.setattr("app.handlers.photos.SMALLER", 20)
    paths = [upload(photo(50, 60, seed=number), f"large{number}.png") for number in range(3)]
    told, _ = handlers.compare(paths[0], paths[1:], "a cat", "", False, models.CONTRASTIVE, "")
    assert told["sizes"] == [[50, 60], [17, 20], [17, 20]] and ["scaled down to 20 x 17" in note for note in told["notes"]] == [True, True]


# ---- over the wire


@pytest.fixture(scope="module")
def wire(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def elsewhere():
    """An address of this machine that somebody might be sent to, and how often it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200), self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown(), server.server_close()


def called(wire, number: int, data, session: str = "hostile", **more) -> dict:
    """The last that an endpoint says, named or not."""
    joined = wire.post("gradio_api/queue/join", content=json.dumps({"data": data, "fn_index": number, "session_hash": session, **more}), headers={"content-type": "application/json"})
    if joined.status_code != 200:
        return {"success": False, "output": {"error": joined.text}}
    with wire.stream("GET", f"gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            if line.startswith("data:") and json.loads(line[5:])["msg"] in ("process_completed", "unexpected_error"):
                return json.loads(line[5:])
    raise AssertionError("the stream ended without a word")


def endpoints(wire) -> list[dict]:
    """Every dependency of the page that Python answers."""
    return [each for each in wire.get("config").json()["dependencies"] if each["backend_fn"]]


def file_at(path: str, **more) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def test_every_endpoint_refuses_what_is_not_of_its_kind(wire, client, picture, elsewhere, url):
    from gradio_client import handle_file

    ask = lambda: client.predict(handle_file(picture), QUESTION, *GREEDY, api_name="/answer")  # noqa: E731
    before, found = ask(), endpoints(wire)
    assert len(found) > 20
    address, asked = elsewhere
    secret = [file_at("/etc/passwd"), file_at(f"http://{address}/x.png"), file_at("/etc/passwd", url=f"http://{address}/x.png"), file_at("../../../../etc/passwd", is_stream=True)]
    said = []
    for number, each in enumerate(found):
        wanted = len(each["inputs"])
        for value in (None, secret[number % 4], [secret[(number + 1) % 4]], {"a": {"b": []}}, "<b>x</b>", 1e308):
            said.append(called(wire, each["id"], [value] * wanted, f"hostile{number}", event_data=value))
        said.append(called(wire, each["id"], [None] * (wanted + 3), f"hostile{number}"))
        said.append(called(wire, each["id"], [], f"hostile{number}"))
    text = json.dumps(said)
    assert len(said) == 8 * len(found) and "root:" not in text and "Traceback" not in text and asked == []
    assert ask() == before  # and nobody lost anything


def test_no_address_is_asked_for_a_stranger(wire, elsewhere):
    address, asked = elsewhere
    [answer] = [each["id"] for each in endpoints(wire) if each["api_name"] == "answer"]
    for path in (f"http://{address}/x.png", f"HTTP://{address}/x.png", f"https://{address}/x.png", f"http://localhost:{address.rpartition(':')[2]}/x.png", f"http://2130706433:{address.rpartition(':')[2]}/x", f"ftp://{address}/x", "file:///etc/passwd"):
        assert asks_elsewhere([{"deep": [file_at(path)]}])
        reply = called(wire, answer, [file_at(path), QUESTION, *GREEDY])
        assert not reply["success"] and "fetches nothing from an address" in reply["output"]["error"]
        for way in ("file", "proxy"):
            assert wire.get(f"gradio_api/{way}={path}").status_code in (400, 403, 404)
    assert asked == [] and not asks_elsewhere([file_at("/tmp/a:b.png", url="http://127.0.0.1/x")])


def test_only_what_was_uploaded_is_served(wire, uploads, tmp_path):
    (tmp_path / "secret.txt").write_text("root:")
    for path in ("/etc/passwd", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", str(tmp_path / "secret.txt"), f"{uploads}/../../etc/passwd", "/proc/self/environ", "app.py", ".git/config", "vlm/model.py", "assets/embedded/vlm.safetensors", "\\\\host\\x"):
        reply = wire.get(f"gradio_api/file={path}")
        assert reply.status_code in (400, 403, 404) and "root:" not in reply.text
    for path in ("gradio_api/deep_link?session_hash=hostile0", "monitoring", "monitoring/summary", "gradio_api/vibe-code", "gradio_api/proxy=https://x.hf.space/"):
        assert wire.get(path).status_code == 404
    assert wire.post("gradio_api/process_recording").status_code == 404
    assert not (uploads / "deep_links").exists()


def test_a_function_that_is_none_is_not_called(wire):
    components = [each for each in wire.get("config").json()["components"] if each["type"] in ("html", "textbox", "image", "button")]
    for component in components[:12]:
        for name in ("preprocess", "postprocess", "__class__", "__init__", "get_config", "unrender", "as_example", "load", "_id", "", "layer\0", "../layer"):
            reply = wire.post("gradio_api/component_server", json={"session_hash": "x", "component_id": component["id"], "fn_name": name, "data": []})
            assert reply.status_code in (404, 422, 500) and "Traceback" not in reply.text
    [feed] = [each["id"] for each in components if each["props"].get("elem_id") == "feed-record"]
    for data in (None, 7, "x", [], ["/etc/passwd", 1], [file_at("/etc/passwd"), 0], [["x"] * 1_000] * 5, {"path": "/etc/passwd"}):
        reply = wire.post("gradio_api/component_server", json={"session_hash": "x", "component_id": feed, "fn_name": "layer", "data": data})
        assert reply.status_code == 200 and set(reply.json()) == {"error"}


def test_a_request_that_is_too_large_or_too_deep_ends_in_a_sentence(wire):
    long = json.dumps({"data": ["x" * bounds.REQUEST], "fn_index": 0, "session_hash": "x"})
    chunks = lambda: (b" " * 10_000 for _ in range(100))  # noqa: E731 - no length is claimed
    for path in ("gradio_api/queue/join", "gradio_api/component_server", "gradio_api/call/answer", "gradio_api/run/answer"):
        for content in (long, chunks()):
            reply = wire.post(path, content=content, headers={"content-type": "application/json"})
            told = reply.status_code == 413 and bounds.TOO_LONG in reply.text
            assert told or (content is not long and reply.status_code == 400 and len(reply.text) < 100), (path, reply.text)  # Gradio's own words where it reads by itself
        deep = wire.post(path, content=b"[" * 100_000, headers={"content-type": "application/json"})
        assert 400 <= deep.status_code < 600 and "Traceback" not in deep.text
    assert wire.get("config").status_code == 200


def test_uploads_have_an_end(wire, uploads, monkeypatch, picture):
    def upload(content: bytes, name: str = "x.png") -> httpx.Response:
        return wire.post("gradio_api/upload", files={"files": (name, content)})

    assert upload(picture.read_bytes()).status_code == 200
    used = sum(bounds.sizes(uploads))
    monkeypatch.setattr(bounds, "UPLOADS", used + 5_000)
    for number in range(5):
        reply = upload(os.urandom(20_000))
        assert reply.status_code == 507 and reply.text == bounds.FULL
    boundary, part = b"--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"y.png\"\r\n\r\n", os.urandom(20_000)
    reply = wire.post("gradio_api/upload", content=iter([boundary, *[part] * 5, b"\r\n--x--\r\n"]), headers={"content-type": "multipart/form-data; boundary=x"})
    assert reply.status_code in (400, 413, 507)
    assert sum(bounds.sizes(uploads)) == used  # no half of a file is left
    assert upload(b"small", "tiny.png").status_code == 200  # what fits is taken
    monkeypatch.setattr(bounds.shutil, "disk_usage", lambda path: SimpleNamespace(free=bounds.SPARE))
    assert upload(b"small").status_code == 507


def comes(true, wire) -> bool:
    """Whether something comes to be true while the server answers a thousand other requests."""
    return true() or any(wire.get("config").is_success and true() for _ in range(1000))


def test_who_leaves_in_the_middle_of_an_upload_leaves_nothing(wire, uploads):
    used = sum(bounds.sizes(uploads))
    host, port = wire.base_url.host, wire.base_url.port
    with contextlib.ExitStack() as visitors:
        for _ in range(3):
            connection = visitors.enter_context(socket.create_connection((host, port)))
            connection.sendall(f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 900000\r\n\r\n".encode())
            connection.sendall(b"--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"y.png\"\r\n\r\n" + os.urandom(300_000))
        assert comes(lambda: sum(bounds.sizes(uploads)) > used + 3 * 200_000, wire)  # it lies there
    assert comes(lambda: sum(bounds.sizes(uploads)) == used, wire)


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/evil.png", "..\\evil.png", "a\0b.png", "x" * 300 + ".png", "<img src=x>.png", "", ".", "..", "%2e%2e%2fevil.png", "con", "\u202egnp.exe"])
def test_an_upload_lies_in_the_folder_of_uploads_whatever_it_is_called(url, uploads, name):
    reply = httpx.post(f"{url}gradio_api/upload", files={"files": (name, zlib.compress(name.encode()))})
    assert reply.status_code in (200, 400, 422, 500)
    if reply.status_code == 200:
        [path] = reply.json()
        assert os.path.realpath(path).startswith(f"{uploads}{os.sep}") and os.path.isfile(path)


def test_a_run_of_another_visitor_is_not_found_by_guessing(kept):
    """The key of a run stands for its photo and question: who has neither cannot ask about it."""
    key, answered = kept
    for guess in ("", "-", ".", key[:-1], key[1:], key.upper(), key + "-", key.partition("-")[0], f"*{key[1:]}", "%", "None", key.replace("-", ".")):
        assert set(handlers.layer([guess, 0])) == {"error"} and set(handlers.word([guess, 0])) == {"error"} and set(handlers.tensors([guess])) == {"error"}
    assert len(key.partition(".")[0]) == 32 and "error" not in handlers.layer([key, 0])


def test_old_uploads_are_deleted_and_the_examples_stay(uploads, upload):
    """What Gradio does every ten minutes with what is older than six hours, done here with whatever is older than now."""
    from gradio.route_utils import delete_files_created_by_app

    from app.page import build

    page = build()
    assert page.delete_cache == (bounds.EVERY, bounds.KEPT)
    old = upload(photo(30, 40), "old.png")
    page.upload_file_set.add(old)
    delete_files_created_by_app(page, 0)
    assert not os.path.exists(old)
    shown = [sample[0]["path"] for block in page.blocks.values() if isinstance(block, gr.Dataset) for sample in block.samples if isinstance(sample[0], dict)]
    assert len(shown) == len(handlers.example_photos()) > 3 and all(map(os.path.exists, shown))
