"""All records."""

from tests.published import fixed, tiles, native
from tests.published.native import *

ROWS = (
    *fixed.ROWS,
    tiles.LLAVA_NEXT, tiles.GRANITE_VISION, tiles.LLAVA_ONEVISION, tiles._smol("256M"), tiles._smol("500M"), tiles.SMOL_VLM_2, tiles.IDEFICS_3, tiles.INTERN_VL_3, tiles.INTERN_VL_GPT_OSS,
    QWEN_2_VL, QWEN_2_5_VL, QWEN_3_VL, QWEN_3_VL_MOE, QWEN_35, QWEN_36_MOE, PIXTRAL, MISTRAL_SMALL, LIGHT_ON_OCR, AYA_VISION, COMMAND_A_VISION, LLAMA_VISION
)
