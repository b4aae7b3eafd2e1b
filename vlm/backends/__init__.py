"""What knows transformers, timm and open_clip: where things are inside a loaded network."""
