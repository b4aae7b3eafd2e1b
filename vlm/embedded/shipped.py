"""What comes with the program as files: our trained parts, the example photos and their runs."""

from pathlib import Path


def assets() -> Path:
    """Find the folder `assets`: inside the installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "assets"
    return inside if inside.is_dir() else package.parent / "assets"
