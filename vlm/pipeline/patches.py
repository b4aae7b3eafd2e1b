"""Which pictures an image processor makes of a photo, and where each patch lies in the photo.

Nothing here runs a model: the processor's own rules say it. `PICTURES` is by the class of the image
processor. The tests change the pixels inside each box and see which patch changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8

from vlm.backends.compat import ensure_torchvision
from vlm.errors import ModelError
from vlm.records.patches import (
    Box,
    Patches,
    Picture,
    grid_boxes,
    patchify,
    place_boxes,
    raster_places,
)

ensure_torchvision()

from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_transforms import get_resize_output_image_size
from transformers.models.cohere2_vision import image_processing_cohere2_vision as cohere2_vision
from transformers.models.got_ocr2 import image_processing_got_ocr2 as got_ocr2
from transformers.models.mllama import image_processing_mllama as mllama

Size = tuple[int, int]  # height, width
# what the processor gives the encoder: pixel_values and its companions
Pixels = Mapping[str, np.ndarray]


def whole(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """Each photo becomes one picture: resized, perhaps made square with a margin first, perhaps
    cropped to its centre afterwards.
    """
    images = processor.image_processor
    values = inputs["pixel_values"].reshape(-1, *inputs["pixel_values"].shape[-3:])
    if len(values) != len(photos):
        raise ModelError(
            f"This image processor makes {len(values)} pictures of {len(photos)} photos; this"
            " version follows one a photo."
        )
    boxes = [kept_box(images, photo, values.shape[-2:]) for photo in photos]
    return from_grids(
        images, values, size, [("whole photo", number, box) for number, box in enumerate(boxes)]
    )


def anyres(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """LLaVA-NeXT: the whole photo squeezed into a square, then tiles of the photo in its own shape
    with a black margin.

    LLaVA-OneVision, of several photos: each as a whole, in a square with a margin, without tiles.
    """
    images, values, named = processor.image_processor, [], []
    side = inputs["pixel_values"].shape[-1]
    together = np.ravel(inputs.get("batch_num_images", 1)).tolist() == [len(photos)]
    if together and len(photos) > 1:
        named = [("whole photo", number, squared_box(photo)) for number, photo in enumerate(photos)]
        return from_grids(images, inputs["pixel_values"][:, 0], size, named)
    for number, photo in enumerate(photos):
        named.append(("whole photo", number, (0.0, 0.0, *map(float, photo))))
        tall, wide = select_best_resolution(photo, images.image_grid_pinpoints)
        named += [
            (name, number, box)
            for name, box in tiles_of(padded_box(photo, (tall, wide)), tall // side, wide // side)
        ]
        values.append(inputs["pixel_values"][number][: 1 + tall // side * (wide // side)])
    return from_grids(images, np.concatenate(values), size, named)


def split(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """Idefics3: the photo enlarged to a whole number of tiles each way, its tiles, and last the
    whole photo squeezed into one.
    """
    images, named = processor.image_processor, []
    for number, (height, width) in enumerate(photos):
        _, rows, columns = images.get_number_of_image_patches(height, width)
        box = (0.0, 0.0, float(height), float(width))
        named += (
            [(name, number, tile) for name, tile in tiles_of(box, rows, columns)]
            if rows * columns
            else []
        )
        named.append(("whole photo", number, box))
    values = inputs["pixel_values"].reshape(-1, *inputs["pixel_values"].shape[-3:])
    return from_grids(images, values[: len(named)], size, named)


def tiles(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """InternVL: tiles in the arrangement nearest to the photo's shape, and last the whole photo
    squeezed into one if there are several.

    Command A Vision prefers the arrangement that enlarges the photo least.
    """
    images, named = processor.image_processor, []
    arrange = (
        cohere2_vision if kind_of(images).startswith("Cohere2Vision") else got_ocr2
    ).get_optimal_tiled_canvas
    side = inputs["pixel_values"].shape[-1]
    # by the whole processor: whether it cuts may be its own default and not its image processor's
    planned = processor._get_num_multimodal_tokens(list(photos))["num_image_patches"]
    for number, (height, width) in enumerate(photos):
        box = (0.0, 0.0, float(height), float(width))
        columns, rows = (
            arrange((height, width), (side, side), images.min_patches, images.max_patches)
            if planned[number] > 1
            else (1, 1)
        )
        named += (
            [(name, number, tile) for name, tile in tiles_of(box, rows, columns)]
            if rows * columns > 1
            else []
        )
        named.append(("whole photo", number, box))
    return from_grids(images, inputs["pixel_values"], size, named)


def canvas(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """Llama 3.2 Vision: the photo in the top left corner of a canvas of whole tiles, black below or
    beside it; places for more tiles stay empty.
    """
    images, named, values = processor.image_processor, [], []
    side = images.size["height"]
    for number, (height, width) in enumerate(photos):
        tall, wide = (
            int(edge)
            for edge in mllama.get_optimal_tiled_canvas(height, width, images.max_image_tiles, side)
        )
        down, across = mllama.get_image_size_fit_to_canvas(height, width, tall, wide, side)
        rows, columns = tall // side, wide // side
        parts = list(
            tiles_of((0.0, 0.0, tall * height / down, wide * width / across), rows, columns)
        )
        named += [(name if len(parts) > 1 else "whole photo", number, box) for name, box in parts]
        values.append(inputs["pixel_values"][0, number][: len(parts)])
    return from_grids(images, np.concatenate(values), size, named)


def sized(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """Pixtral: each photo in nearly its own shape.

    Smaller ones of several have an empty margin, which no patch is made of.
    """
    named = [
        ("whole photo", number, (0.0, 0.0, *map(float, photo)))
        for number, photo in enumerate(photos)
    ]
    return from_grids(
        processor.image_processor, inputs["pixel_values"], size, named, inputs["image_sizes"]
    )


def native(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """Qwen2-VL: each photo near its own size and shape, its patches in groups of those that become
    one token.
    """
    images, merge = processor.image_processor, processor.image_processor.merge_size
    # a photo is a film of equal frames
    pixels = rearrange(
        inputs["pixel_values"], "n (c t p1 p2) -> t n (p1 p2 c)", c=3, p1=size, p2=size
    )[0]
    pictures, places, start = [], [], 0
    for number, ((_, rows, columns), photo) in enumerate(
        zip(inputs["image_grid_thw"].tolist(), photos, strict=True)
    ):
        order = rearrange(
            np.arange(rows * columns),
            "(r a c b) -> (r c a b)",
            c=columns // merge,
            a=merge,
            b=merge,
        )
        mine = pixels[start : start + rows * columns]
        picture = rearrange(
            mine[np.argsort(order)], "(r c) (p1 p2 k) -> k (r p1) (c p2)", r=rows, p1=size, p2=size
        )
        pictures.append(
            Picture(
                "whole photo",
                number,
                denormalise(images, picture),
                (0.0, 0.0, *map(float, photo)),
                rows,
                columns,
            )
        )
        places.append(
            np.stack([np.full(len(order), number), order // columns, order % columns], axis=1)
        )
        start += rows * columns
    places = np.concatenate(places)
    return Patches(pixels, place_boxes(pictures, places, size), places, tuple(pictures), size)


def from_grids(
    images,
    values: Float[np.ndarray, "pictures C H W"],
    size: int,
    named: Sequence[tuple[str, int, Box]],
    sizes: np.ndarray | None = None,
) -> Patches:
    """Patches of pictures that the encoder cuts left to right, top to bottom.

    `named`: (name, photo, box) of each.

    Raises:
        ModelError: there are not as many pictures as the processor's rules say.
    """
    if len(values) != len(named):
        raise ModelError(
            f"The processor made {len(values)} pictures where its rules say {len(named)}; this"
            " version of transformers does something new."
        )
    values = [
        value if sizes is None else value[:, : sizes[number][0], : sizes[number][1]]
        for number, value in enumerate(values)
    ]
    pictures = tuple(
        Picture(
            name,
            photo,
            denormalise(images, value),
            box,
            value.shape[1] // size,
            value.shape[2] // size,
        )
        for (name, photo, box), value in zip(named, values)
    )
    places = raster_places(pictures)
    return Patches(
        np.concatenate([patchify(value, size) for value in values]),
        place_boxes(pictures, places, size),
        places,
        pictures,
        size,
    )


def tiles_of(box: Box, rows: int, columns: int) -> Iterator[tuple[str, Box]]:
    """Name and box of each tile."""
    for number, tile in enumerate(grid_boxes(box, rows, columns).tolist()):
        yield f"tile {number // columns + 1}, {number % columns + 1}", tuple(tile)


def padded_box(photo: Size, target: Size) -> Box:
    """What a canvas of `target` pixels shows of a photo that was fitted into it and centred, in
    pixels of the photo: more than the photo.
    """
    blank = np.broadcast_to(np.uint8(0), (*photo, 3))
    tall, wide = get_patch_output_size(blank, target, "channels_last")
    top, left = (target[0] - tall) // 2, (target[1] - wide) // 2
    vertical, horizontal = photo[0] / tall, photo[1] / wide
    return (
        -top * vertical,
        -left * horizontal,
        (target[0] - top) * vertical,
        (target[1] - left) * horizontal,
    )


def squared_box(photo: Size) -> Box:
    """What the smallest square around a photo shows, the photo in its middle."""
    height, width = photo
    longest = max(photo)
    top, left = (longest - height) // 2, (longest - width) // 2
    return float(-top), float(-left), float(longest - top), float(longest - left)


def kept_box(images, photo: Size, received: Size) -> Box:
    """The part of the photo that an image processor with one picture a photo keeps, in pixels of
    the photo.

    Args:
        received: height and width of what the model receives.

    Raises:
        ModelError: the image processor does something that this function does not know.
    """
    squares = type(images).__name__.startswith("LlavaImageProcessor")
    unknown = [
        step
        for step in ("do_pan_and_scan", "do_pad")
        if getattr(images, step, False) and not (step == "do_pad" and squares)
    ]
    if unknown or not images.do_resize:
        raise ModelError(
            f"This image processor uses {', '.join(unknown) or 'no resizing'}, which this version"
            " does not follow."
        )
    height, width = photo
    above, beside = 0.0, 0.0
    if squares and images.do_pad:  # a square around the photo
        longest = max(height, width)
        above, beside = (longest - height) // 2, (longest - width) // 2
        height = width = longest
    size = images.size
    if size.get("shortest_edge"):
        shape = np.broadcast_to(np.uint8(0), (height, width, 3))
        resized = get_resize_output_image_size(
            shape, size["shortest_edge"], default_to_square=False, input_data_format="channels_last"
        )
    else:
        resized = (size["height"], size["width"])
    top, left = 0, 0
    if getattr(images, "do_center_crop", False):
        top, left = (resized[0] - received[0]) // 2, (resized[1] - received[1]) // 2
        if top < 0 or left < 0:
            raise ModelError(
                f"This image processor crops {received[0]} x {received[1]} out of {resized[0]} x"
                f" {resized[1]} pixels, which this version does not follow."
            )
    elif tuple(resized) != tuple(received):
        raise ModelError(
            f"The processor was expected to give {resized[0]} x {resized[1]} pixels and gave"
            f" {received[0]} x {received[1]}."
        )
    vertical, horizontal = height / resized[0], width / resized[1]
    return (
        top * vertical - above,
        left * horizontal - beside,
        (top + received[0]) * vertical - above,
        (left + received[1]) * horizontal - beside,
    )


def denormalise(images, pixel_values: Float[np.ndarray, "C H W"]) -> UInt8[np.ndarray, "H W C"]:
    """What the model received as 8-bit RGB: normalisation and rescaling undone, where they were
    done.
    """
    values = pixel_values.transpose(1, 2, 0)
    if images.do_normalize:
        values = values * np.asarray(images.image_std) + np.asarray(images.image_mean)
    if getattr(images, "do_rescale", True):  # otherwise the model is given 0 to 255 as they are
        values = values / images.rescale_factor
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


PICTURES: dict[str, Callable[[object, Pixels, Sequence[Size], int], Patches]] = {
    "BitImageProcessor": whole,
    "BlipImageProcessor": whole,
    "CLIPImageProcessor": whole,
    "Gemma3ImageProcessor": whole,
    "LlavaImageProcessor": whole,
    "SiglipImageProcessor": whole,
    "LlavaNextImageProcessor": anyres,
    "LlavaOnevisionImageProcessor": anyres,
    "Idefics3ImageProcessor": split,
    "SmolVLMImageProcessor": split,
    "GotOcr2ImageProcessor": tiles,
    "Cohere2VisionImageProcessor": tiles,
    "MllamaImageProcessor": canvas,
    "PixtralImageProcessor": sized,
    "Qwen2VLImageProcessor": native,
}


def kind_of(images) -> str:
    """What an image processor, or a class of them by its name, is called, whatever computes it."""
    return (
        (images if isinstance(images, str) else type(images).__name__)
        .removesuffix("Pil")
        .removesuffix("Fast")
    )


def lay_out(processor, inputs: Pixels, photos: Sequence[Size], size: int) -> Patches:
    """The pictures and patches that this processor made of photos of these sizes.

    Raises:
        ModelError: an image processor that this version does not follow.
    """
    name = kind_of(processor.image_processor)
    if name not in PICTURES:
        raise ModelError(
            f"This checkpoint's image processor is a {name}; this version follows"
            f" {', '.join(PICTURES)}."
        )
    return PICTURES[name](processor, inputs, photos, size)
