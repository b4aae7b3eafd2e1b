"""How the embedded model's own parts were learned, and how to learn them again on other photos.

Three stages, one command each (`python -m vlm.training --help`): the contrastive pair, the
connector, instruction tuning. Frozen features are computed once and read from a cache. Nothing here
is imported by the page or by the library.
"""
