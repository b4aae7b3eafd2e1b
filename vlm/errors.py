"""Errors whose message is shown to the user as it stands: what was given, what is allowed, what to
do next.
"""


class VLMError(ValueError):
    """Base class.

    A caller who sees one shows `str(error)`; the page turns it into one notice and keeps what was
    there.
    """


class ImageError(VLMError):
    """The image cannot be used: unreadable, too large, of a kind that is not supported, or not the
    user's own upload.
    """


class QuestionError(VLMError):
    """The question or a text cannot be used: empty, too long, or holding a control token of the
    model.
    """


class DecodingError(VLMError):
    """A hyper-parameter d of the decoding operator D_d is outside its range."""


class ModelError(VLMError):
    """The model cannot be loaded, or its architecture is not one this program can look into."""


class FetchError(VLMError):
    """A file of a model is missing and could not be brought, or is not the file it should be."""


class RunError(VLMError):
    """A saved run that cannot be written, read or repeated."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether what failed was an allocation: Python's or numpy's, torch's on the CPU, or a GPU's.
    torch has one class for the last alone.
    """
    said = str(error)
    of_torch = isinstance(error, RuntimeError) and any(
        words in said for words in ("can't allocate memory", "not enough memory", "out of memory")
    )
    return isinstance(error, MemoryError) or of_torch
