"""The page: records of `vlm` in, pictures and controls out.

Imports neither torch nor transformers.
"""
