"""The published findings, one row each.

A tolerance is what the claim says, fixed before any of our models was looked at, or made stricter
since (12, 13, 23).
"""

from vlm.findings import matching, outliers, reading, removing, seeing
from vlm.findings.finding import Fact

FACTS = (
    Fact(
        1,
        "The connector keeps one token for every patch, CLS left out, and the one image mark of the"
        " prompt becomes as many places.",
        "LLaVA-1.5: 336 / 14 gives 24 x 24 = 576 tokens of 577 positions (transformers #34934,"
        " LLaVA #1143)",
        "exactly as many patches, tokens and places",
        seeing.one_token_a_patch,
    ),
    Fact(
        2,
        "A merging connector makes one token of a square of neighbouring patches, and uses each"
        " patch once.",
        "pixel shuffle in nanoVLM: 32 x 32 patches, 64 tokens of 4 x 4",
        "every token a square of the same side, no patch twice or left out",
        seeing.square_of_patches,
    ),
    Fact(
        3,
        "A few patches, often in the background, become far longer vectors than the others in the"
        " deeper layers of the encoder.",
        "Darcet et al. 2023, 2309.16588 (DINOv2, OpenCLIP, DeiT III); not in small models, and"
        " 2603.25803 finds that some claims do not generalise",
        "in a layer of the deeper half the longest patch is over 3 times the median, and at most 10"
        " % of the patches are",
        seeing.few_outliers,
    ),
    Fact(
        4,
        "The outliers come from a few neurons; moved to an extra blank token they leave the patches"
        " clean, without training.",
        "Jiang et al. 2025, 2506.08010 (OpenCLIP, DINOv2)",
        "10 neurons moved: at most half of the outliers are left, and CLS keeps a cosine of at"
        " least 0.95",
        outliers.register_neurons,
    ),
    Fact(
        5,
        "Visual tokens become readable as words with depth: later layers name the object.",
        "Neo et al. 2024, 2410.07149 (LLaVA-1.5)",
        "in some layer of the deeper half at least 10 % of the thing's tokens have its name among"
        " the first five words, and more than in the first quarter",
        reading.readable_with_depth,
    ),
    Fact(
        7,
        "Removing a thing's own tokens costs its identification; removing as many others costs far"
        " less.",
        "Neo et al. 2024, 2410.07149: over 70 % of identifications lost (LLaVA-1.5)",
        "mean token in their place: the log-odds of yes fall more than for at least 9 of 10 random"
        " sets of as many other tokens",
        removing.the_thing_is_needed,
    ),
    Fact(
        8,
        "Zero in the place of tokens exaggerates: the mean or noise changes far less.",
        "2604.14433: registers set to zero -36.6 points, mean or noise within 1 (DINOv2, CLIP)",
        "zero changes the answer's log-probabilities at least twice as much as the mean and as"
        " noise",
        removing.zero_exaggerates,
    ),
    Fact(
        9,
        "Some visual tokens are sinks: they carry the same huge dimensions as the first token, and"
        " the answer does not need them.",
        "Kang et al. 2025 (LLaVA-1.5; tau = 20 at width 4,096)",
        "at least one such token, and the greedy answer of up to 16 tokens stays word for word with"
        " the mean token in their places",
        reading.removable_sinks,
    ),
    Fact(
        11,
        "Visual tokens are far longer vectors than text embeddings where both enter the language"
        " model.",
        "2503.17349, 2512.08374 (LLaVA, Qwen2.5-VL; no ratio is given)",
        "the median length of visual tokens is at least twice that of the prompt's text tokens",
        reading.longer_than_text,
    ),
    Fact(
        12,
        "Visual tokens are read as a bag: in another order they still give the description, but no"
        " longer left and right.",
        "2503.17349 (LLaVA-1.5 and others)",
        "over 3 random orders the description keeps at least half of its words, and left against"
        " right, told with odds of at least 2 to 1, is turned at least once",
        reading.bag_of_tokens,
    ),
    Fact(
        13,
        "Deep layers hardly look at the picture: half of the visual tokens can be dropped after"
        " layer 2.",
        "FastV, Chen et al. 2024, 2403.06764 (LLaVA-1.5)",
        "the layers after 2 give the picture at most half of the attention that layers 1 and 2"
        " give, and with the least looked at half dropped the greedy answer of up to 16 tokens"
        " stays word for word",
        reading.half_is_enough,
    ),
    Fact(
        17,
        "Inside the picture's tokens the lens is surer of things that are there than of things that"
        " are not.",
        "vl-interp, Jiang et al. 2024, 2410.02762 (InstructBLIP, LLaVA)",
        "the largest probability of the thing's name at any token and layer exceeds that of at"
        " least 75 % of words for absent things",
        reading.sure_of_what_is_there,
    ),
    Fact(
        18,
        "Photos and sentences lie in two separate cones (the modality gap).",
        "Liang et al. 2022, Mind the Gap (CLIP); CLIP #405: matching pairs at 0.2 to 0.3",
        "the means of photos and sentences are further apart than either kind lies from its own"
        " mean",
        matching.modality_gap,
        of_several=True,
    ),
    Fact(
        19,
        "The temperature does the work: a small difference of cosines becomes near certainty.",
        "open_clip #541: the scale ends at 100, so 0.25 against 0.22 becomes 95 to 5 (CLIP)",
        "of two texts 0.03 apart the nearer gets at least 90 %, and the formula gives the softmax"
        " and sigmoid to 0.001",
        matching.temperature,
    ),
    Fact(
        20,
        "Raw patch-text maps often light the background instead of the thing.",
        "CLIP Surgery, Li et al. 2023, 2304.05653 (CLIP)",
        "the raw map is darker inside the thing than outside, and the correction, where there is"
        " one, makes it less so",
        matching.background_is_lit,
    ),
    Fact(
        23,
        "Attention is weak evidence: where a word looks and what it needs are not the same.",
        "2605.05668; LLaVA #1080",
        "over the parts of the picture (4 x 4), of which one at least costs the word 0.1 nats, the"
        " rank correlation of attention and what is lost without the part is below 0.5",
        removing.attention_is_weak,
    ),
    Fact(
        25,
        "Position embeddings of neighbouring patches are alike.",
        "Dosovitskiy et al. 2020 (ViT)",
        "the mean cosine falls with the distance, rank correlation at most -0.9 up to half of the"
        " grid",
        seeing.places_are_neighbours,
    ),
    Fact(
        26,
        "The main directions of the patch features (PCA colours) group the parts of things.",
        "DINOv2, Oquab et al. 2023; the sign is arbitrary (dinov2 #23, #292), ours is fixed by a"
        " rule",
        "neighbouring patches differ in colour at most half as much as two taken by chance",
        seeing.colours_group,
    ),
)
