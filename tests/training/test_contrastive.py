"""The contrastive stage: the article's loss, and maps that learn to find pairs."""

import numpy as np
import pytest
import torch

from vlm.training import contrastive
from vlm.training.contrastive import Maps, Settings


def test_the_training_loss_is_the_mean_of_the_articles_two():
    from open_clip.loss import ClipLoss

    image, text = (torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(seed)), dim=-1) for seed in (1, 2))
    logits = (image @ text.T).numpy().astype(np.float64) * np.exp(2.0)

    def cross_entropy(matrix: np.ndarray) -> float:
        return float(np.mean(np.log(np.exp(matrix).sum(1)) - np.diag(matrix)))

    expected = (cross_entropy(logits) + cross_entropy(logits.T)) / 2
    assert ClipLoss()(image, text, torch.tensor(2.0).exp()).item() == pytest.approx(expected, abs=1e-5)


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
