"""Which models a visitor may ask this server for; the operator decides by environment variables."""

from pathlib import Path

from gradio.context import LocalContext

import vlm

from ..settings import Settings

FOLDER_VARIABLE, HUB_VARIABLE = Settings.name_of("models"), Settings.name_of("hub")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def hub_is_open_to(settings: Settings) -> str:
    """Which models of the hub a visitor may ask for: "all", those that are "listed", or "none".

    Without a word of the operator all, if only this machine can reach the page, and none otherwise.
    """
    said = settings.hub.strip().lower()
    if said:
        return {"1": "all", "listed": "listed"}.get(said, "none")
    return "all" if only_this_machine() else "none"


def only_this_machine() -> bool:
    """Whether the page is served on the loopback address and nobody hands on what others ask.

    A program that calls a handler itself is on this machine.
    """
    served, request = LocalContext.blocks.get(None), LocalContext.request.get(None)
    if served is None:
        return True
    handed_on = request is not None and any(
        name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip")
    )
    return (
        getattr(served, "server_name", None) in LOOPBACK
        and not getattr(served, "share", False)
        and not handed_on
    )


def lies_here(name: str) -> bool:
    """Whether there is something of this name on this machine."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a name of a file
        return False


def check_folder(settings: Settings, name: str) -> str:
    """The folder that a visitor named, in full.

    Raises:
        vlm.ModelError: it is not among those that are open to visitors.
    """
    allowed = settings.models
    try:
        folder = Path(name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, half a character
        raise vlm.ModelError(f"There is no folder {name[:60]!r}; give another.") from error
    if not allowed or not folder.is_relative_to(Path(allowed).resolve()):
        raise vlm.ModelError(
            f"Folders of this machine are not open to visitors ({name!r:.80}); whoever serves the"
            f" page names theirs in {FOLDER_VARIABLE}."
        )
    return str(folder)


def check_hub(settings: Settings, name: str, listed: bool) -> None:
    """Refuse a model of the hub that visitors may not ask for.

    Raises:
        vlm.ModelError: a visitor may not ask for this model of the hub.
    """
    allowed = hub_is_open_to(settings)
    if allowed == "none" or (allowed == "listed" and not listed):
        others = "models that are not listed" if allowed == "listed" else "models of the hub"
        raise vlm.ModelError(
            f"This server does not fetch {others} for visitors ({name!r:.80}); whoever serves it"
            f" can allow that with {HUB_VARIABLE}."
        )


def check_model(settings: Settings, name: str) -> str:
    """The vision-language model that a visitor named: the page's own, a folder that is open, or one
    of the hub.

    Raises:
        vlm.ModelError: they may not ask for it.
    """
    if not isinstance(name, str) or not name.strip():
        raise vlm.ModelError(
            "No model is named; choose one of the list, or type OWNER/NAME of a model on the hub."
        )
    name = name.strip()
    if name in (settings.model, "embedded"):
        return name
    if len(name) > 300 or "\0" in name:
        raise vlm.ModelError(
            f"{name[:60]!r} is no name of a model; choose one of the list, or type OWNER/NAME of a"
            " model on the hub."
        )
    if name.startswith(("/", ".", "~")) or "\\" in name or lies_here(name):
        return check_folder(settings, name)
    check_hub(settings, name, any(model.name == name for model in vlm.MODELS))
    return name


def check_contrastive(settings: Settings, name: str) -> str:
    """The contrastive model that a visitor named, likewise.

    Raises:
        vlm.ModelError: they may not ask for it.
    """
    if name == settings.contrastive:
        return name
    if not isinstance(name, str) or not name.strip() or len(name) > 300 or "\0" in name:
        raise vlm.ModelError(
            f"{name!r:.60} is no name of a contrastive model; choose one of the list, or type"
            " NAME/WEIGHTS as open_clip has them."
        )
    if name.startswith(("local-dir:", "/", ".", "~")) or "\\" in name or lies_here(name):
        return check_folder(settings, name.removeprefix("local-dir:"))
    listed = any(f"{model.name}/{model.pretrained}" == name for model in vlm.LISTED)
    check_hub(settings, name, listed)
    return name
