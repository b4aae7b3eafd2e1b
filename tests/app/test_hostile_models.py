"""Names of models that try to leave what is open to visitors, and folders of models that try to run
something.
"""

import json
import os
import pickle

import pytest

import vlm
from app import models
from app.handlers import permissions
from tests.app.asking import is_refused, server
from tests.tiny import tiny_clip, tiny_llava

pytestmark = pytest.mark.usefixtures("tiny_page")

NAMES = (
    "",
    " ",
    "/",
    "/etc",
    "/etc/passwd",
    "//etc",
    "..",
    "../..",
    "./",
    "~",
    "~root",
    "models/../../etc",
    "a/../b",
    "OPEN/..",
    "OPEN/../closed",
    "OPEN/link",
    "OPEN/circle",
    "OPEN\0/x",
    "a/b@../../x",
    "a/b@",
    "a/b@-x",
    "a/b@x y",
    "a/b@" + "x" * 200,
    "x" * 290,
    "x" * 260 + "/y",
    "x" * 5_000,
    "ä/b",
    "a/ｂ",
    "a/b\n",
    "a/b c",
    "a/b?x",
    "a/b#x",
    "http://127.0.0.1/x",
    "https://huggingface.co/a/b",
    "file:///etc",
    "hf-hub:a/b",
    "hf-hub:../x",
    "hf-hub:/etc",
    "local-dir:/etc",
    "local-dir:../..",
    "local-dir:",
    "ViT-B-32",
    "ViT-B-32/",
    "ViT-B-32//etc/passwd",
    "ViT-B-32/../../x.pt",
    "ViT-B-32/x.pt",
    "RN50/openai/../x",
    "a\\b",
    "C:\\x",
    "CON",
    "\u202ea/b",
    "\ud800/b",
    "<b>/x",
    "${x}/y",
    "a/b;id",
    "--help",
    "-",
    "@",
    "@main",
    ".",
    ".git",
    "vlm",
    "app.py",
    "tests",
    "assets/embedded",
)


@pytest.mark.parametrize("hub", ["0", "listed"])
def test_no_name_of_a_model_leaves_the_folder_that_is_open(
    tmp_path, monkeypatch, uploaded, hub, configure
):
    open_folder, closed = tmp_path / "open", tmp_path / "closed"
    open_folder.mkdir(), closed.mkdir()
    (open_folder / "link").symlink_to(closed)
    (open_folder / "circle").symlink_to(open_folder / "circle")
    configure(models=str(open_folder))
    configure(hub=hub)
    monkeypatch.setattr(vlm, "load", lambda *arguments, **named: pytest.fail("it was loaded"))
    monkeypatch.setattr(
        vlm, "load_contrastive", lambda *arguments, **named: pytest.fail("it was loaded")
    )
    for name in (
        *(name.replace("OPEN", str(open_folder)) for name in NAMES),
        None,
        7,
        [],
        {},
        True,
    ):
        for check in (permissions.check_model, permissions.check_contrastive):
            refused = is_refused(lambda check=check, name=name: check(server.settings, name))
            assert refused or name == str(open_folder / ".."), (check.__name__, name)
        assert is_refused(lambda name=name: list(server.choose(name, False)))
        assert is_refused(lambda name=name: list(server.bring(name)))
        if name:
            assert is_refused(
                lambda name=name: server.compare(uploaded, None, "a cat", "", False, name, "")
            )


class Canary:
    """Unpickled it leaves a trace."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "kind",
    [
        "pickle",
        "pickle called safetensors",
        "code beside it",
        "code in a processor",
        "open_clip pickle",
        "open_clip tokenizer",
    ],
)
def test_nothing_in_a_model_s_folder_is_run(tmp_path, uploaded, kind, configure):
    configure(models=str(tmp_path))
    folder, canary, evil = (
        tmp_path / "model",
        tmp_path / "it ran",
        pickle.dumps(Canary(tmp_path / "it ran")),
    )
    if kind == "open_clip tokenizer":
        configuration = tiny_clip(folder) / "open_clip_config.json"
        content = json.loads(configuration.read_text())
        content["model_cfg"]["text_cfg"] |= {
            "hf_tokenizer_name": "its own",
            "tokenizer_kwargs": {"trust_remote_code": True},
        }
        configuration.write_text(json.dumps(content))
        (folder / "tokenizer_config.json").write_text(
            json.dumps(
                {"auto_map": {"AutoTokenizer": ["modeling.M", None]}, "tokenizer_class": "M"}
            )
        )
        (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
        (folder / "modeling.py").write_text(
            f"import os\nos.mkdir({str(canary)!r})\nclass M: pass\n"
        )
        assert is_refused(
            lambda: server.compare(uploaded, None, "a cat", "", False, str(folder), "")
        )
    elif kind == "open_clip pickle":
        tiny_clip(folder)
        (folder / "open_clip_model.safetensors").unlink()
        (folder / "open_clip_pytorch_model.bin").write_bytes(evil)
        assert is_refused(
            lambda: server.compare(uploaded, None, "a cat", "", False, str(folder), "")
        )
    else:
        tiny_llava(folder)
        if kind.startswith("pickle"):
            weights = folder / "model.safetensors"
            weights.unlink()
            (weights if "called" in kind else folder / "pytorch_model.bin").write_bytes(evil)
        else:
            (folder / "modeling.py").write_text(
                f"import os\nos.mkdir({str(canary)!r})\nclass M: pass\n"
            )
            for name in (
                ("config.json",)
                if kind == "code beside it"
                else ("processor_config.json", "tokenizer_config.json")
            ):
                content = json.loads((folder / name).read_text())
                content |= {
                    "auto_map": {
                        each: "modeling.M"
                        for each in (
                            "AutoConfig",
                            "AutoModelForImageTextToText",
                            "AutoProcessor",
                            "AutoTokenizer",
                        )
                    }
                }
                content |= {"model_type": "its-own"} if name == "config.json" else {}
                (folder / name).write_text(json.dumps(content))
        server.models._chosen.pop(models.Choice(str(folder)), None)
        came = is_refused(lambda: list(server.choose(str(folder), False)))
        # its own code is not asked: transformers' processor of that kind is used
        assert came or kind == "code in a processor"
    assert not canary.exists()
