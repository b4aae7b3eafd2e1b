"""Contrastive pairs: photos and texts in one space, and the losses that brought them there."""
