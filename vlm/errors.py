"""Errors whose message is shown to the user as it stands: what was given, what is allowed, what to do next."""


class VLMError(ValueError):
    """Base class. A caller who sees one shows `str(error)`; the page turns it into one notice and keeps what was there."""


class ImageError(VLMError):
    """The image cannot be used: unreadable, too large, of a kind that is not supported, or not the user's own upload."""


class QuestionError(VLMError):
    """The question or a text cannot be used: empty, too long, or holding a control token of the model."""


class DecodingError(VLMError):
    """A hyper-parameter d of the decoding operator D_d is outside its range."""


class ModelError(VLMError):
    """The model cannot be loaded, or its architecture is not one this program can look into."""


class FetchError(VLMError):
    """A file of a model is missing and could not be brought, or is not the file it should be."""


class RunError(VLMError):
    """A saved run that cannot be written, read or repeated."""
