"""open_clip and transformers import torchvision, which must be made to load first."""

from vlm.backends.compat import ensure_torchvision

ensure_torchvision()
