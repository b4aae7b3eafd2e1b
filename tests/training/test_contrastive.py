"""The contrastive stage: the article's loss, and maps that learn to find pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_tokenizer
from vlm.embedded.assembly import FEATURE_LAYERS
from vlm.training import contrastive
from vlm.training.contrastive import Maps, Settings
from vlm.training.corpus import Corpus
from vlm.training.datasets import Photo
from vlm.training.features import Features
from vlm.training.objects import WordNet
from vlm.training.parts import save_parts


def test_the_training_loss_is_the_mean_of_the_articles_two():
    from open_clip.loss import ClipLoss

    image, text = (
        torch.nn.functional.normalize(
            torch.randn(5, 8, generator=torch.Generator().manual_seed(seed)), dim=-1
        )
        for seed in (1, 2)
    )
    logits = (image @ text.T).numpy().astype(np.float64) * np.exp(2.0)

    def cross_entropy(matrix: np.ndarray) -> float:
        return float(np.mean(np.log(np.exp(matrix).sum(1)) - np.diag(matrix)))

    expected = (cross_entropy(logits) + cross_entropy(logits.T)) / 2
    assert ClipLoss()(image, text, torch.tensor(2.0).exp()).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_recall_counts_the_photos_whose_own_caption_is_among_the_best():
    maps = Maps(4, 4, Settings()).eval()
    with torch.no_grad():
        maps.image.weight.copy_(torch.eye(4))
        maps.image.bias.zero_()
    swapped = torch.eye(4)[[0, 1, 3, 2]]  # the last two captions stand at each other's place
    assert contrastive.recall(maps, torch.eye(4), swapped)["image->text recall@1"] == 0.5


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_text_map_starts_as_the_identity_and_only_the_sigmoid_loss_has_a_bias(loss):
    maps = Maps(6, 3, Settings(loss=loss))
    assert torch.equal(maps.text.weight, torch.eye(3))
    assert (maps.logit_bias is not None) == (loss == "sigmoid")


def tiny_text_tower():
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    shape = dict(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    return (
        BertModel(BertConfig(vocab_size=len(tokenizer), **shape), add_pooling_layer=False).eval(),
        tokenizer,
    )


@pytest.fixture
def corpus_of_twenty(tmp_path):
    """Twenty photos with a caption each; the features are as random as they are different."""
    array = (
        np.random.default_rng(0).normal(size=(20, 5, 4 * len(FEATURE_LAYERS))).astype(np.float16)
    )
    table = Features("own", "", tuple(f"{number}.png" for number in range(20)), array)
    photos = tuple(
        Photo("own", name, Path(name), captions=(f"{chr(97 + number) * 3} photo.",))
        for number, name in enumerate(table.names)
    )
    return Corpus(
        photos,
        {photo.key: ((table, index),) for index, photo in enumerate(photos)},
        frozenset({"own/3.png"}),
        (),
    )


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_training_finds_the_pairs_it_saw_and_its_parts_come_back(corpus_of_twenty, tmp_path, loss):
    tower = tiny_text_tower()
    seen = corpus_of_twenty.training()
    images, _ = contrastive.image_rows(corpus_of_twenty, seen, views=False)
    texts = contrastive.encode_texts([photo.captions[0] for photo in seen], *tower)
    settings = Settings(steps=60, batch=60, rate=0.02, dropout=0.0, decay=0.0, keep=0.0, loss=loss)
    maps = contrastive.train(corpus_of_twenty, tower, settings)
    assert (
        contrastive.recall(maps, images, texts)["image->text recall@1"]
        > 0.5
        > contrastive.recall(Maps(24, 16, settings).eval(), images, texts)["image->text recall@1"]
    )
    save_parts(tmp_path / "contrastive.safetensors", maps.parts(), {})
    again = contrastive.read(tmp_path / "contrastive.safetensors")
    assert contrastive.recall(again, images, texts) == contrastive.recall(maps, images, texts)


def test_a_class_name_stands_in_a_sentence_with_its_broader_words(tmp_path):
    (tmp_path / "data.noun").write_text(
        "02084071 05 n 02 dog 0 domestic_dog 0 001 @ 02083346 n 0000 | barks\n02083346 05 n 01"
        " canine 0 000 | a family\n",
        encoding="latin-1",
    )
    photo = Photo("set", "n02084071_1.jpg", Path(), label="dog")
    texts = contrastive.texts_of(photo, WordNet(tmp_path))
    assert {"a photo of a dog.", "a photo of a domestic dog.", "a photo of a canine."} == set(texts)
    assert contrastive.texts_of(Photo("set", "1.jpg", Path(), captions=("A dog.",))) == ["A dog."]
