"""Numbers and texts that a browser sent: what of them is taken, and how much of each."""

import vlm

# characters, characters, lines, photos
MAX_QUESTION, MAX_TEXT, MAX_TEXTS, MAX_PHOTOS = 2_000, 300, 64, 32
MAX_TOGETHER = 4  # photos of one question


def whole_number(value, name: str, count: int) -> int:
    """An index that a browser sent.

    Raises:
        vlm.VLMError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < count:
        raise vlm.VLMError(f"There is no {name} {value!r:.40}; there are {count}, counted from 0.")
    return value


def plain(value, name: str, error: type[vlm.VLMError] = vlm.VLMError) -> float:
    """A number that a browser sent.

    Raises:
        vlm.VLMError: it is none, or one without end.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not -(2**63) <= value <= 2**63
    ):
        raise error(f"{name} is {value!r:.40}; give a number.")
    return value


def whole(value, name: str, error: type[vlm.VLMError] = vlm.VLMError) -> int:
    """A whole number that a browser sent, which sends it as a float.

    Raises:
        vlm.VLMError: it is none.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not -(2**63) <= value <= 2**63
        or int(value) != value
    ):
        raise error(f"{name} is {value!r:.40}; give a whole number.")
    return int(value)


def text(value, name: str) -> str:
    """A text that a browser sent.

    Raises:
        vlm.QuestionError: it is none.
    """
    if not isinstance(value, str):
        raise vlm.QuestionError(f"{name} is {value!r:.40} and not a text; type one.")
    return value
