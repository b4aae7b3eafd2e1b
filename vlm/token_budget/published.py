"""The processors of the token ledger: transformers' own, set to what the named checkpoints publish,
without a vocabulary worth the name.
"""

MARKS = (
    "<image>",
    "<video>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<fake_token_around_image>",
    "<global-img>",
    "[IMG]",
    "[IMG_BREAK]",
    "[IMG_END]",
    "<|START_OF_IMG|>",
    "<|END_OF_IMG|>",
    "<|IMG_PATCH|>",
    "<|IMG_LINE_BREAK|>",
)


def _tokenizer(**named):
    """A tokenizer that knows the markers and nothing else: the rules ask for no more."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [
        "<pad>",
        "<bos>",
        "<eos>",
        "<unk>",
        *MARKS,
        *(f"<row_{row}_col_{column}>" for row in range(1, 13) for column in range(1, 13)),
    ]
    tokenizer = Tokenizer(
        models.WordLevel(
            {word: number for number, word in enumerate(vocabulary)}, unk_token="<unk>"
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(vocabulary)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        **named,
    )


def _transformers():
    from vlm.backends.compat import ensure_torchvision

    ensure_torchvision()
    import transformers

    return transformers


def llava():
    """Build LLaVA-1.5's processor: 336 x 336 pixels, patches of 14."""
    tf = _transformers()
    images = tf.CLIPImageProcessor(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
    )
    return tf.LlavaProcessor(
        images,
        _tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_next():
    """Build LLaVA-NeXT's processor: tiles of 336 x 336 pixels, patches of 14."""
    tf = _transformers()
    pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    images = tf.LlavaNextImageProcessor(
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
        image_grid_pinpoints=pinpoints,
    )
    return tf.LlavaNextProcessor(
        images,
        _tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_onevision():
    """Build LLaVA-OneVision's processor: up to 6 x 6 tiles of 384 x 384 pixels, 729 patches."""
    tf = _transformers()
    pinpoints = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
    images = tf.LlavaOnevisionImageProcessor(
        size={"height": 384, "width": 384}, image_grid_pinpoints=pinpoints
    )
    return tf.LlavaOnevisionProcessor(
        images,
        _tokenizer(),
        tf.LlavaOnevisionVideoProcessor(),
        num_image_tokens=729,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )


def qwen2_5_vl():
    """Build Qwen2-VL's and Qwen2.5-VL's processor: patches of 14 pixels, merged 2 x 2."""
    tf = _transformers()
    images = tf.Qwen2VLImageProcessor(
        patch_size=14,
        merge_size=2,
        size={"shortest_edge": 56 * 56, "longest_edge": 14 * 14 * 4 * 16384},
    )
    return tf.Qwen2_5_VLProcessor(images, _tokenizer(), tf.Qwen2VLVideoProcessor())


def qwen3_vl():
    """Build Qwen3-VL's and Qwen3.5's processor: patches of 16 pixels, merged 2 x 2."""
    tf = _transformers()
    images = tf.Qwen2VLImageProcessor(
        patch_size=16, merge_size=2, size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096}
    )
    return tf.Qwen3VLProcessor(images, _tokenizer(), tf.Qwen3VLVideoProcessor())


def internvl():
    """Build InternVL3's processor: 1 to 12 tiles of 448 x 448 pixels, 256 tokens each."""
    tf = _transformers()
    marks = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    images = tf.GotOcr2ImageProcessor(
        size={"height": 448, "width": 448}, crop_to_patches=True, min_patches=1, max_patches=12
    )
    return tf.InternVLProcessor(
        images,
        _tokenizer(extra_special_tokens=marks),
        tf.InternVLVideoProcessor(),
        image_seq_length=256,
    )


def idefics(longest: int, side: int, each: int):
    """`each` tokens a tile of `side` pixels."""
    tf = _transformers()
    images = tf.Idefics3ImageProcessor(
        size={"longest_edge": longest}, max_image_size={"longest_edge": side}
    )
    return tf.Idefics3Processor(images, _tokenizer(), image_seq_len=each)


def gemma3():
    """Build Gemma 3's processor: 896 x 896 pixels, 256 tokens."""
    tf = _transformers()
    marks = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    return tf.Gemma3Processor(
        tf.Gemma3ImageProcessor(size={"height": 896, "width": 896}),
        _tokenizer(extra_special_tokens=marks),
        image_seq_length=256,
    )


def paligemma():
    """Build PaliGemma 2's processor: 224 x 224 pixels, 256 tokens."""
    tf = _transformers()
    images = tf.SiglipImageProcessor(size={"height": 224, "width": 224})
    images.image_seq_length = 256
    return tf.PaliGemmaProcessor(images, _tokenizer())


def pixtral(longest: int, patch: int, merge: int = 1):
    """Build Pixtral's or Mistral 3's processor: sides up to `longest` pixels."""
    tf = _transformers()
    images = tf.PixtralImageProcessor(
        size={"longest_edge": longest}, patch_size={"height": merge * patch, "width": merge * patch}
    )
    return tf.PixtralProcessor(images, _tokenizer(), patch_size=patch, spatial_merge_size=merge)


def lighton_ocr():
    """Build LightOnOCR's processor: sides up to 1,540 pixels, patches of 14, merged 2 x 2."""
    tf = _transformers()
    marks = {
        "image_token": "[IMG]",
        "image_break_token": "[IMG_BREAK]",
        "image_end_token": "[IMG_END]",
    }
    images = tf.PixtralImageProcessor(
        size={"longest_edge": 1540}, patch_size={"height": 28, "width": 28}
    )
    return tf.LightOnOcrProcessor(
        images, _tokenizer(extra_special_tokens=marks), patch_size=14, spatial_merge_size=2
    )


def aya_vision():
    """Build Aya Vision's processor: 1 to 12 tiles of 364 x 364 pixels, a token for 28 x 28."""
    tf = _transformers()
    images = tf.GotOcr2ImageProcessor(
        size={"height": 364, "width": 364}, crop_to_patches=True, min_patches=1, max_patches=12
    )
    return tf.AyaVisionProcessor(images, _tokenizer(), patch_size=28, img_size=364)


def cohere2_vision():
    """Build Command A Vision's processor: 1 to 12 tiles of 512 x 512 pixels, patches of 16."""
    tf = _transformers()
    marks = {
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "image_token": "<|IMG_PATCH|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    }
    images = tf.Cohere2VisionImageProcessor(
        size={"height": 512, "width": 512},
        crop_to_patches=True,
        min_patches=1,
        max_patches=12,
        patch_size=16,
    )
    return tf.Cohere2VisionProcessor(images, _tokenizer(extra_special_tokens=marks))


def fast_vlm():
    """Build FastVLM's processor: 1,024 x 1,024 pixels, a token for 64 x 64."""
    tf = _transformers()
    images = tf.CLIPImageProcessor(
        size={"shortest_edge": 1024}, crop_size={"height": 1024, "width": 1024}
    )
    return tf.LlavaProcessor(
        images,
        _tokenizer(),
        patch_size=64,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
    )


def mllama():
    """Its image processor alone: it counts tiles, not tokens."""
    return _transformers().MllamaImageProcessor(
        size={"height": 560, "width": 560}, max_image_tiles=4
    )


def kosmos_2():
    """The model's default configuration: its processor is told how many queries there are."""
    return _transformers().Kosmos2Config()


def blip():
    """Build BLIP-2's and InstructBLIP's processor: 224 x 224 pixels, 32 queries."""
    tf = _transformers()
    return tf.Blip2Processor(
        tf.BlipImageProcessor(size={"height": 224, "width": 224}), _tokenizer(), num_query_tokens=32
    )
