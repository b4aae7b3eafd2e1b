"""Settings of whoever runs the program: environment variables, each with default and meaning.

This is the one place of the library that reads the environment; the page has the same in
`settings.py` of its own. A variable is read when it is asked for, so that a test or a notebook may
set it after the import.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

T = TypeVar("T", bound="FromEnvironment")


def variable(name: str, meaning: str, default: str = "", without: str = ""):
    """Declare a field of `Settings` that an environment variable sets.

    Args:
        name: of the variable.
        meaning: what it decides, in a few words.
        default: its value where the variable is unset or empty.
        without: what then holds, in words, where the default is not a value.
    """
    return field(
        default=default, metadata={"name": name, "meaning": meaning, "without": without or default}
    )


@dataclass(frozen=True)
class Variable:
    """An environment variable as `--help` and the documents tell it."""

    name: str
    meaning: str
    default: str


class FromEnvironment:
    """What every `Settings` can do: its fields are made by `variable`."""

    @classmethod
    def read(cls: type[T], environment: Mapping[str, str] = os.environ) -> T:
        """Read every variable; one that is empty counts as unset."""
        given = {each.name: environment.get(each.metadata["name"], "") for each in fields(cls)}
        return cls(**{name: value for name, value in given.items() if value})

    @classmethod
    def name_of(cls, setting: str) -> str:
        """Name the variable behind a setting, for sentences that tell somebody to set it."""
        return next(each.metadata["name"] for each in fields(cls) if each.name == setting)

    @classmethod
    def variables(cls) -> Iterator[Variable]:
        """List the variables in the order of the fields."""
        for each in fields(cls):
            said = each.metadata
            yield Variable(said["name"], said["meaning"], said["without"])


@dataclass(frozen=True)
class Settings(FromEnvironment):
    """Decide where models run and where files are kept."""

    device: str = variable(
        "VLM_DEVICE",
        "where models run: `cpu`, `cuda`, `cuda:1`, `mps`",
        without="CUDA or Apple's GPU where there is one, else the CPU",
    )
    dtype: str = variable(
        "VLM_DTYPE",
        "their number format: `float32`, `bfloat16`, `float16`",
        without="bfloat16 on a GPU that has it, float16 on others; on a CPU float32, from a billion"
        " parameters bfloat16 if the CPU multiplies in it; float32 for contrastive pairs",
    )
    cache: str = variable(
        "VISUAL_TOKEN_EXPLORER_CACHE",
        "the folder of our own files: base weights, the embedded models, the commits of models",
        without="`visual-token-explorer` in the user's cache directory",
    )
    hub: str = variable("HF_ENDPOINT", "address of the hub", without="`https://huggingface.co`")


# What packages that this one uses read for themselves.
OTHERS = (
    Variable("HF_HUB_CACHE", "the folder of the hub's files", "`~/.cache/huggingface/hub`"),
    Variable(
        "HF_HUB_OFFLINE", "`1`: the hub is never asked", "the hub is asked for what is missing"
    ),
)
