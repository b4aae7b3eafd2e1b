"""What a run was made from, as a value: under it everything that is computed of the run is kept."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable

FORM = re.compile(
    r"([0-9a-f]{32}(?:\+[0-9a-f]{32})*)\.([0-9a-f]{12})-([0-9a-f]{16})(?:-([0-9a-f]{16}))?"
)


def short_digest(text: str, size: int = 8) -> str:
    """Stand for a text in a key, in 2 x `size` hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


@dataclasses.dataclass(frozen=True)
class RunKey:
    """Photos, model and question of a run; of an answer, how it was decoded too.

    The browser gets it as text, `PHOTO+PHOTO.MODEL-QUESTION`, of an answer `...-DECODING`, and
    gives it back when it asks further. Here alone that text is written and read.

    Attributes:
        photos: the digest of what each photo shows.
        model: the tag of the choice that made it (`models.Choice.tag`).
        question: its digest; empty where the question changes nothing.
        decoding: the digest of D_d; empty before an answer.
    """

    photos: tuple[str, ...]
    model: str
    question: str = ""
    decoding: str = ""

    @classmethod
    def of(cls, photos: Iterable[str], model: str, question: str) -> "RunKey":
        """The key of a run before its answer."""
        return cls(tuple(photos), model, short_digest(question.strip()))

    @classmethod
    def parse(cls, text: object) -> "RunKey | None":
        """The key that a browser gave back; None if it is none of ours."""
        found = FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None
        photos, model, question, decoding = found.groups(default="")
        return cls(tuple(photos.split("+")), model, question, decoding)

    def __str__(self) -> str:
        text = f"{'+'.join(self.photos)}.{self.model}-{self.question}"
        return f"{text}-{self.decoding}" if self.decoding else text

    def decoded(self, operator: object) -> "RunKey":
        """The key of the answer that an operator D_d gave."""
        return dataclasses.replace(self, decoding=short_digest(repr(operator)))

    @property
    def run(self) -> "RunKey":
        """The key of the run before its answer: another decoding changes nothing."""
        return dataclasses.replace(self, decoding="")

    @property
    def encoded_image(self) -> "RunKey":
        """The key of what the encoder saw: another question changes nothing."""
        return dataclasses.replace(self, question="", decoding="")
