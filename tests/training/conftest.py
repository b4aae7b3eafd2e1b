"""open_clip and transformers import torchvision, which must be made to load first."""

from vlm.compat import ensure_torchvision

ensure_torchvision()
