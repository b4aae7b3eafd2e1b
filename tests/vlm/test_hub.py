"""Models of the hub, on a hub of our own: fetched whole, kept at one commit, and every failure told
in one sentence.
"""

import errno
import json
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants, file_download

import vlm
from tests.hub import COMMIT, LATER, NAME
from vlm.backends import architecture, device, memory
from vlm.hub import catalogue, fetch
from vlm.pipeline.model import VisionLanguageModel


@pytest.fixture
def served(online):
    """The folder of the model on the hub, to be spoiled."""
    return online.models[NAME]


def sentence(name: str = NAME, kind: type = vlm.VLMError, **options) -> str:
    with pytest.raises(kind) as error:
        vlm.load(name, **options)
    message = str(error.value)
    assert "\n" not in message and message[-1] in ".)" and len(message) < 700
    return message


def change(path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_of_the_hub_answers_as_the_folder_it_came_from(online, checkpoints, wide_photo):
    told = []
    model = vlm.load(NAME, lambda fraction, words: told.append((fraction, words)))
    assert model.name == f"{NAME}@{COMMIT}"
    expected = vlm.load(checkpoints("clip")).trace(wide_photo, "hi", vlm.Decoding(max_new_tokens=4))
    assert model.trace(wide_photo, "hi", vlm.Decoding(max_new_tokens=4)).answer == expected.answer
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and len(fractions) > 4
    assert any("MB of " in words for _, words in told) and "reading" in told[-1][1]


def test_the_second_load_asks_nobody_and_uses_the_same_commit(online, monkeypatch):
    vlm.load(NAME)
    asked = len(online.asked)
    online.commit = LATER
    assert vlm.load(NAME).name.endswith(COMMIT) and len(online.asked) == asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told = []
    vlm.load(NAME, lambda fraction, words: told.append(words))
    assert any(COMMIT[:12] in words and "on this machine" in words for words in told)


def test_a_commit_that_is_asked_for_is_the_one_that_is_used(online):
    assert vlm.load(f"{NAME}@{LATER}").name == f"{NAME}@{LATER}"
    assert vlm.load(NAME).name == f"{NAME}@{COMMIT}"  # each has its own


def test_the_catalogues_commit_comes_before_the_newest(online, monkeypatch):
    monkeypatch.setattr(
        fetch, "MODELS", (vlm.ListedModel(NAME, "llava", 1, "none", revision=LATER),)
    )
    assert vlm.load(NAME).name == f"{NAME}@{LATER}"


def test_only_data_is_fetched(online, served):
    for name in (
        "modeling.py",
        "pytorch_model.bin",
        "consolidated.safetensors",
        "README.md",
        "onnx/model.onnx",
        "sub/tokenizer.json",
    ):
        (served / name).parent.mkdir(exist_ok=True)
        (served / name).write_bytes(b"not wanted")
    vlm.load(NAME)
    assert set(online.fetched) == {
        path.name
        for path in served.iterdir()
        if path.suffix in (".json", ".jinja") or path.name == "model.safetensors"
    }


def test_the_configuration_is_fetched_first_and_once(online):
    vlm.load(NAME)
    assert online.fetched[0] == "config.json" and online.fetched.count("config.json") == 1
    assert online.fetched[-1] == "model.safetensors"


def test_a_model_in_several_files_is_fetched_whole_and_a_missing_one_alone(online, served):
    vlm.load(served).network.save_pretrained(served, max_shard_size="100KB")
    (served / "model.safetensors").unlink(missing_ok=True)
    model = vlm.load(NAME)
    folder = fetch.in_cache(fetch.Reference(NAME))[0]
    shards = memory.weight_files(folder)
    assert len(shards) > 1
    online.asked.clear()
    shards[0].resolve().unlink()
    shards[0].unlink()
    assert vlm.load(NAME).name == model.name and online.fetched == [shards[0].name]


def test_a_file_that_was_cut_off_in_the_cache_is_fetched_again(online):
    vlm.load(NAME)
    path = (fetch.in_cache(fetch.Reference(NAME))[0] / "model.safetensors").resolve()
    path.write_bytes(path.read_bytes()[:5_000])
    online.asked.clear()
    vlm.load(NAME)
    assert online.fetched == ["model.safetensors"]


def test_a_broken_connection_is_taken_up_where_it_broke(online, monkeypatch):
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))
    online.cut["model.safetensors"] = 10_000
    vlm.load(NAME)
    assert online.fetched.count("model.safetensors") == 2


def test_a_file_that_is_shorter_than_the_hub_says_is_not_used(online, served):
    online.changed["model.safetensors"] = (served / "model.safetensors").read_bytes()[:5_000]
    assert "load it again" in sentence(kind=vlm.FetchError)
    online.changed.clear()
    assert vlm.load(NAME)


def test_a_file_with_another_sha256_is_thrown_away(online, served):
    content = bytearray((served / "model.safetensors").read_bytes())
    content[-1] ^= 1
    online.changed["model.safetensors"] = bytes(content)
    assert "SHA-256" in sentence(kind=vlm.FetchError)
    online.changed.clear()
    assert vlm.load(NAME)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_says_where_to_accept_its_licence(online, status):
    online.refused[NAME] = status, "GatedRepo"
    message = sentence(kind=vlm.FetchError)
    assert "gated" in message and "hf auth login" in message and f"{online.url}/{NAME}" in message


def test_a_refusal_without_a_reason_says_how_to_log_in(online):
    online.refused[NAME] = 403, ""
    assert "hf auth login" in sentence(kind=vlm.FetchError)


@pytest.mark.parametrize("name", ["someone/unknown", f"{NAME}@no-such-branch"])
def test_what_is_not_there_is_named(online, name):
    message = sentence(name, vlm.FetchError)
    assert ("unknown" if "unknown" in name else "no-such-branch") in message


def test_a_hub_that_fails_is_told_with_its_status(online):
    online.refused[NAME] = 500, ""
    assert "500" in sentence(kind=vlm.FetchError)


@pytest.mark.parametrize("reason", ["closed port", "offline"])
def test_without_a_network_one_sentence_says_what_to_run_elsewhere(online, monkeypatch, reason):
    if reason == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    message = sentence(f"{NAME}@{LATER}", vlm.FetchError)
    assert (
        f"hf download {NAME} --revision {LATER}" in message
        and constants.HF_HUB_CACHE in message
        and "models--someone--tiny-llava" in message
    )


def test_what_another_program_fetched_is_used_without_a_network(online, monkeypatch, tmp_path):
    vlm.load(NAME)
    monkeypatch.setenv("VISUAL_TOKEN_EXPLORER_CACHE", str(tmp_path / "another"))
    reference = tmp_path / "hub" / "models--someone--tiny-llava" / "refs" / "main"
    reference.parent.mkdir(exist_ok=True)
    reference.write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert vlm.load(NAME).name == f"{NAME}@{COMMIT}"


def test_weights_that_are_no_safetensors_are_not_fetched(online, served):
    (served / "model.safetensors").rename(served / "pytorch_model.bin")
    assert "safetensors" in sentence(kind=vlm.ModelError) and online.fetched == ["config.json"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "own", "auto_map": {"AutoModel": "modeling.M"}}, "code of its own"),
        ({"model_type": "bert"}, "'bert'"),
        ({"model_type": "idefics2"}, "Idefics2ImageProcessor"),
        ({"model_type": None}, "None"),
    ],
)
def test_a_model_of_another_kind_is_refused_before_its_weights_are_fetched(
    online, served, changes, reason
):
    change(served / "config.json", **changes)
    assert reason in sentence(kind=vlm.ModelError) and online.fetched == ["config.json"]


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_configuration_that_cannot_be_read_is_refused(online, served, content):
    (served / "config.json").write_text(content)
    assert "config.json" in sentence(kind=vlm.ModelError)


def test_a_repository_without_a_configuration_is_refused(online, served):
    (served / "config.json").unlink()
    assert "config.json" in sentence(kind=vlm.ModelError)


def test_a_full_disk_is_told_before_anything_large_is_fetched(online, monkeypatch):
    monkeypatch.setattr(
        fetch.shutil, "disk_usage", lambda path: SimpleNamespace(free=fetch.SPARE + 1_000)
    )
    message = sentence(kind=vlm.FetchError)
    assert "HF_HUB_CACHE" in message and "GB" in message and online.fetched == ["config.json"]


def test_a_disk_that_fills_up_on_the_way_is_told_and_what_came_is_kept(online, monkeypatch):
    one = fetch._one

    def full(reference, commit, name, *heard):
        if name.endswith(".safetensors"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return one(reference, commit, name, *heard)

    monkeypatch.setattr(fetch, "_one", full)
    assert "is full" in sentence(kind=vlm.FetchError)
    monkeypatch.setattr(fetch, "_one", one)
    online.asked.clear()
    assert vlm.load(NAME) and online.fetched == ["model.safetensors"]


def test_a_model_that_no_memory_of_this_machine_could_hold_is_refused_before_it_is_fetched(
    online, monkeypatch
):
    monkeypatch.setattr(memory, "all_bytes", lambda device: 1_000_000)
    message = sentence(kind=vlm.ModelError)
    assert (
        "needs about 200.0 MB" not in message
        and "0.2 GB" in message
        and "1.0 MB" in message
        and online.fetched == ["config.json"]
    )


def test_a_model_that_does_not_fit_now_is_refused_and_fits_when_room_was_made(online, monkeypatch):
    free = [1_000_000]
    monkeypatch.setattr(memory, "free_bytes", lambda device: free[0])
    assert "are free" in sentence(kind=vlm.ModelError)
    assert vlm.load(NAME, make_room=lambda: free.append(free.pop() + 10**9))


def test_what_a_model_needs_is_counted_from_its_tensors(checkpoints):
    model = vlm.load(checkpoints("clip"))
    count = memory.parameters(checkpoints("clip"))
    assert count == sum(parameter.numel() for parameter in model.network.parameters())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a/b", ("a/b", None)),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", ("HuggingFaceTB/SmolVLM-256M-Instruct", None)),
        (f"a/b@{COMMIT}", ("a/b", COMMIT)),
        ("a/b@v1.0", ("a/b", "v1.0")),
        *(
            (text, None)
            for text in (
                "a",
                "a/b/c",
                "../a",
                "a/..",
                "a/b@../c",
                "a/b@",
                "a/.b",
                "a--b/c",
                "a/b\n",
                "a/b c",
                "hf-hub:a/b",
                "https://x/y",
                "/a/b",
                "a/b@x/y",
                "ä/b",
            )
        ),
    ],
)
def test_a_name_of_the_hub_has_one_slash_and_no_way_out(text, parts):
    reference = fetch.Reference.of(text)
    assert (reference and (reference.name, reference.revision)) == parts


def test_the_catalogue_is_whole():
    assert len({model.name for model in vlm.MODELS}) == len(vlm.MODELS) >= 14
    for model in vlm.MODELS:
        assert fetch.Reference.of(model.name) and (
            model.revision is None or fetch.COMMIT.fullmatch(model.revision)
        )
        assert 0 < model.gigabytes_four_bit < model.gigabytes and model.licence
    assert tuple(sorted(catalogue.MODELS, key=lambda model: model.parameters)) == catalogue.MODELS


@pytest.fixture
def on_the_cpu(monkeypatch):
    """Where these tests run on a GPU too, not this one."""
    monkeypatch.setenv(device.VARIABLE, "cpu")
    monkeypatch.delenv(device.FORMAT_VARIABLE, raising=False)
    device.placement.cache_clear()
    yield
    device.placement.cache_clear()


def test_four_bit_says_what_is_missing(checkpoints, on_the_cpu):
    with pytest.raises(vlm.ModelError, match="NVIDIA GPU"):
        vlm.load(checkpoints("clip"), four_bit=True)


def test_four_bit_without_bitsandbytes_says_what_to_install(monkeypatch):
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(vlm.ModelError, match="pip install bitsandbytes"):
        memory._four_bit(device.Placement(torch.device("cuda"), torch.bfloat16))


def cards(monkeypatch, *free: int) -> None:
    """As if this machine had these GPUs, with so many bytes free on each."""
    where = device.Placement(torch.device("cuda", 0), torch.bfloat16)
    monkeypatch.setattr(memory, "placement_of", lambda count: where)
    monkeypatch.setattr(memory, "free_bytes", lambda device: free[device.index])
    monkeypatch.setattr(memory.torch.cuda, "device_count", lambda: len(free))


def test_a_model_too_large_for_one_gpu_is_spread_over_several(checkpoints, monkeypatch):
    cards(monkeypatch, 150_000_000, 150_000_000)
    assert memory.plan("tiny", checkpoints("clip")).device_map == "auto"
    cards(monkeypatch, 300_000_000, 0)
    assert memory.plan("tiny", checkpoints("clip")).device_map is None
    cards(monkeypatch, 100_000_000, 50_000_000)
    with pytest.raises(vlm.ModelError, match=r"0\.1 GB of GPU memory are free"):
        memory.plan("tiny", checkpoints("clip"))


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
def test_a_model_that_accelerate_places_answers_alike(checkpoints, wide_photo, device_map):
    plan = memory.Plan(device.placement(), device_map, None, 0)
    placed = VisionLanguageModel("placed", *architecture.load_checkpoint(checkpoints("clip"), plan))
    decoding = vlm.Decoding(max_new_tokens=5)
    assert (
        placed.trace(wide_photo, "hi", decoding).answer
        == vlm.load(checkpoints("clip")).trace(wide_photo, "hi", decoding).answer
    )


@pytest.mark.parametrize(
    ("machine", "able", "dtype"),
    [
        ("x86_64", "_is_avx512_bf16_supported", torch.bfloat16),
        ("AMD64", "_is_amx_tile_supported", torch.bfloat16),
        ("x86_64", "_is_mkldnn_bf16_supported", torch.float32),  # which oneDNN imitates
        ("aarch64", "_is_mkldnn_bf16_supported", torch.bfloat16),
        ("x86_64", None, torch.float32),
        ("arm64", None, torch.float32),
    ],
)
def test_a_large_model_is_in_bfloat16_where_the_cpu_is_made_for_it(
    monkeypatch, on_the_cpu, machine, able, dtype
):
    monkeypatch.setattr(device.platform, "machine", lambda: machine)
    asked = {
        torch.cpu: ("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
        torch.ops.mkldnn: ("_is_mkldnn_bf16_supported",),
    }
    for place, names in asked.items():
        for name in names:
            assert getattr(place, name)() in (True, False)  # this torch can be asked
            monkeypatch.setattr(place, name, lambda name=name: name == able)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert device.placement_of(device.LARGE).dtype == dtype
    assert device.placement_of(device.LARGE - 1).dtype == torch.float32


@pytest.mark.parametrize("fast", [True, False])
def test_training_runs_in_bfloat16_on_such_a_cpu(monkeypatch, on_the_cpu, fast):
    from vlm.training import base

    monkeypatch.setattr(base, "has_fast_bfloat16", lambda: fast)
    assert base.working_place().dtype == (torch.bfloat16 if fast else torch.float32)


def test_the_number_format_can_be_chosen(monkeypatch):
    monkeypatch.setenv(device.FORMAT_VARIABLE, "float16")
    assert device.placement_of(1).dtype == torch.float16
    monkeypatch.setenv(device.FORMAT_VARIABLE, "float8")
    with pytest.raises(vlm.ModelError, match=r"float8.*bfloat16"):
        device.placement_of(1)
