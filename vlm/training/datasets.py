"""Folders of photos with text beside them: what is read, what is refused and why.

A data set is a folder with `images/` and at least one of `captions.csv` (image,caption),
`labels.csv` (image,label) and `qa.csv` (image,question,answer,official_split). This file knows rows
and files; it knows nothing of models, features or prompts.
"""

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vlm.errors import VLMError

log = logging.getLogger(__name__)

TABLES = {
    "captions.csv": ("image", "caption"),
    "labels.csv": ("image", "label"),
    "qa.csv": ("image", "question", "answer"),
}
LONGEST_TEXT = 400  # characters; a longer cell is a broken row, not a caption


class DataError(VLMError):
    """The data folder cannot be used at all; single bad rows are counted and skipped instead."""


@dataclass(frozen=True)
class Photo:
    """One image file and every text that came with it.

    `key` ("dataset/file name") is its identity everywhere.
    """

    dataset: str
    name: str
    path: Path
    captions: tuple[str, ...] = ()
    label: str | None = None
    questions: tuple[tuple[str, str, str], ...] = ()  # question, answer, "train" or "test"

    @property
    def key(self) -> str:
        """Give the photo's identity, "dataset/file name"."""
        return f"{self.dataset}/{self.name}"


@dataclass(frozen=True)
class BadRow:
    """A row that was skipped: where it stands and why."""

    table: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.table}:{self.line}: {self.reason}"


@dataclass
class _Draft:
    captions: list[str] = field(default_factory=list)
    label: str | None = None
    questions: list[tuple[str, str, str]] = field(default_factory=list)


def dataset_folders(paths: Iterable[Path]) -> list[Path]:
    """The data-set folders among `paths`, or directly inside them, sorted by name.

    Raises:
        DataError: a path is no folder, or there is no data set in it.
    """
    found = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise DataError(
                f"{path} is not a folder. Give a folder that holds images/ and one of"
                f" {', '.join(TABLES)}."
            )
        here = [
            folder
            for folder in (path, *sorted(path.iterdir()))
            if folder.is_dir() and _is_dataset(folder)
        ]
        if not here:
            raise DataError(
                f"{path} holds no data set: expected images/ and one of {', '.join(TABLES)}, in it"
                " or in its subfolders."
            )
        found += here
    return found


def _is_dataset(folder: Path) -> bool:
    return (folder / "images").is_dir() and any((folder / table).is_file() for table in TABLES)


def read_dataset(folder: Path) -> tuple[list[Photo], list[BadRow]]:
    """Every photo of one folder that has text, and every row that was skipped.

    Both in a fixed order.

    Images are not opened here: one that cannot be decoded is reported when its features are
    computed (`features.py`).

    Raises:
        DataError: a table lacks one of its columns.
    """
    drafts: dict[str, _Draft] = {}
    bad: list[BadRow] = []
    present = {path.name for path in (folder / "images").iterdir() if path.is_file()}
    for table, columns in TABLES.items():
        path = folder / table
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path} has the columns {reader.fieldnames}; it needs {', '.join(columns)}."
                )
            for row in reader:
                values = [" ".join((row[column] or "").split()) for column in columns]
                reason = _fault(values, columns, present)
                if reason:
                    bad.append(BadRow(path, reader.line_num, reason))
                else:
                    _add(
                        drafts.setdefault(values[0], _Draft()),
                        columns,
                        values,
                        row.get("official_split") or "train",
                    )
    photos = [
        Photo(
            folder.name,
            name,
            folder / "images" / name,
            tuple(draft.captions),
            draft.label,
            tuple(draft.questions),
        )
        for name, draft in sorted(drafts.items())
    ]
    if bad:
        log.warning("%s: %d rows skipped, the first: %s", folder.name, len(bad), bad[0])
    return photos, bad


def _fault(values: list[str], columns: tuple[str, ...], present: set[str]) -> str | None:
    for value, column in zip(values, columns):
        if not value:
            return f"{column} is empty"
        if len(value) > LONGEST_TEXT:
            return f"{column} has {len(value)} characters, more than {LONGEST_TEXT}"
    if values[0] not in present:
        return f"there is no image {values[0]!r}"
    return None


def _add(draft: _Draft, columns: tuple[str, ...], values: list[str], split: str) -> None:
    if columns[1] == "caption":
        draft.captions.append(values[1])
    elif columns[1] == "label":
        draft.label = values[1]
    else:
        draft.questions.append((values[1], values[2], split))
