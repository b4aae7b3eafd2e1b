"""Random views of photos, the same for teacher and student: crop, mirror, colour.

Everything is a batch of tensors, so that it runs where the photos lie (CPU or GPU).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Generator, Tensor
from torch.nn import functional

AREA = (0.35, 1.0)  # share of the photo that a crop shows
ASPECT = 1.3  # a crop's width by its height, at most, and its inverse at least
COLOUR = 0.3  # brightness, contrast and saturation change by at most this share
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)


@dataclass(frozen=True)
class Views:
    """One view of each photo of a batch.

    Attributes:
        boxes: centre and size of the crop, x before y as `affine_grid` has them, in shares of the
            photo: centre_x, centre_y, width, height.
        mirrored: left and right changed.
        colours: factors of brightness, contrast and saturation.
    """

    boxes: Float[Tensor, "B 4"]
    mirrored: Bool[Tensor, "B"]
    colours: Float[Tensor, "B 3"]

    def to(self, device: torch.device) -> "Views":
        """The same views on another device."""
        return Views(self.boxes.to(device), self.mirrored.to(device), self.colours.to(device))


def draw_views(count: int, generator: Generator) -> Views:
    """Random views, decided by the generator alone."""
    area, aspect = torch.rand(2, count, generator=generator)
    area = AREA[0] + (AREA[1] - AREA[0]) * area
    aspect = ASPECT ** (2 * aspect - 1)
    sizes = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1).clamp(max=1.0)
    centres = sizes / 2 + (1 - sizes) * torch.rand(count, 2, generator=generator)
    colours = 1 + COLOUR * (2 * torch.rand(count, 3, generator=generator) - 1)
    mirrored = torch.rand(count, generator=generator) < 0.5
    return Views(torch.cat([centres, sizes], dim=1), mirrored, colours)


def whole_views(count: int) -> Views:
    """The photos as they are."""
    boxes = torch.tensor([0.5, 0.5, 1.0, 1.0]).repeat(count, 1)
    return Views(boxes, torch.zeros(count, dtype=torch.bool), torch.ones(count, 3))


def render_views(
    photos: UInt8[Tensor, "B 3 H W"], views: Views, side: int
) -> Float[Tensor, "B 3 side side"]:
    """The views at `side` x `side` pixels, in 0..1."""
    images = photos.float() / 255
    centres, sizes = views.boxes[:, :2], views.boxes[:, 2:]
    turn = torch.where(views.mirrored, -1.0, 1.0)
    theta = torch.zeros(len(photos), 2, 3, device=photos.device)
    theta[:, 0, 0], theta[:, 1, 1] = sizes[:, 0] * turn, sizes[:, 1]
    theta[:, :, 2] = 2 * centres - 1
    grid = functional.affine_grid(theta, [len(photos), 3, side, side], align_corners=False)
    images = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    brightness, contrast, saturation = views.colours.T[:, :, None, None, None]
    images = images * brightness
    grey = torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMA))[:, None]
    images = grey + (images - grey) * saturation
    middle = grey.mean((2, 3), keepdim=True)
    return (middle + (images - middle) * contrast).clamp(0, 1)
