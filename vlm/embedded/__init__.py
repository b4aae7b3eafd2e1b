"""The embedded model: pretrained weights and our own trained parts, put together."""
