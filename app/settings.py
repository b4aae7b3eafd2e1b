"""Settings of whoever serves the page: environment variables, each with default and meaning.

With `vlm.settings` this is the one place that reads the environment.
"""

from dataclasses import dataclass

from vlm.settings import FromEnvironment, Variable, variable


@dataclass(frozen=True)
class Settings(FromEnvironment):
    """Decide which models the page begins with, what visitors may ask for, and how much is kept."""

    model: str = variable(
        "VISUAL_TOKEN_EXPLORER_MODEL", "the model the page starts with", "embedded"
    )
    contrastive: str = variable(
        "VISUAL_TOKEN_EXPLORER_CONTRASTIVE",
        "the contrastive model it starts with",
        "embedded",
    )
    models: str = variable(
        "VISUAL_TOKEN_EXPLORER_MODELS",
        "a folder whose checkpoints and contrastive pairs visitors may open",
        without="none",
    )
    hub: str = variable(
        "VISUAL_TOKEN_EXPLORER_HUB",
        "`1`: visitors may have any model fetched from the hub; `listed`: those that the page"
        " lists; `0`: none",
        without="any if the page is served on the loopback address and no proxy hands requests on,"
        " else none",
    )
    keep: str = variable(
        "VISUAL_TOKEN_EXPLORER_KEEP",
        "gigabytes (10^9 bytes) that all that is kept of earlier runs may take together, in"
        " memory; what was used least recently goes first, and what shares an array counts it once",
        "2.0",
    )
    zero_gpu: str = variable(
        "SPACES_ZERO_GPU",
        "`true`: set by Hugging Face Spaces on hardware that lends a GPU for seconds at a time",
        without="off",
    )


# What Gradio reads for itself.
OTHERS = (
    Variable(
        "GRADIO_SERVER_NAME",
        "address the page is served at; `0.0.0.0`: to everybody",
        "`127.0.0.1`",
    ),
    Variable("GRADIO_SERVER_PORT", "its port", "the first free one from 7860"),
    Variable("GRADIO_TEMP_DIR", "folder of the visitors' uploads", "in the temporary directory"),
    Variable("GRADIO_MCP_SERVER", "`True`: the API as tools for language models", "off"),
)
