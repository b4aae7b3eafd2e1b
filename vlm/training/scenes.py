"""Made scenes with known answers: cut-outs with transparent background, pasted in known numbers and
places onto blurred photos.

The cut-outs are a folder of PNG files with one English line about each beside it (`NAME.png`,
`NAME.txt`), as Debian's package `tuxpaint-stamps-default` installs them. What comes out is an
ordinary data set (`datasets.py`): `images/`, `captions.csv`, `qa.csv`.
"""

import colorsys
import csv
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFilter, UnidentifiedImageError

from vlm.training.datasets import DataError
from vlm.training.objects import with_article
from vlm.training.questions import sentence

SIDE = 224  # pixels
# folders of drawings, or of things no scene holds
DRAWN = ("cartoon", "symbols", "seasonal", "flags", "roadsigns", "space", "naturalforces", "people")
NUMBER_WORDS = {2: "two", 3: "three", 4: "four"}
LONGEST_NAME = 3  # words
# share of a cut-out's pixels that must have one colour for it to be called that
CLEAR_COLOUR = 0.75


@dataclass(frozen=True)
class CutOut:
    """A thing that can be pasted: its file, its name without article, and its colour where one
    clearly prevails.
    """

    path: Path
    name: str
    colour: str | None


@dataclass(frozen=True)
class Placed:
    """`count` copies of one cut-out in one part of the picture.

    The part is "left", "right", "top", "bottom", or "" for the whole of it.
    """

    thing: CutOut
    count: int
    where: str

    @property
    def words(self) -> str:
        """Name the thing with its article or its number: "a dog", "three dogs"."""
        return (
            with_article(self.thing.name)
            if self.count == 1
            else f"{NUMBER_WORDS[self.count]} {plural(self.thing.name)}"
        )


def plural(name: str) -> str:
    """Form the plural of a noun by the regular rules of English."""
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if re.search(r"[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + "s"


def cut_outs(folder: Path) -> list[CutOut]:
    """The photo-like cut-outs under `folder` whose line is an article and a short name ("A great
    blue heron.").

    Raises:
        DataError: there is none.
    """
    found: dict[str, CutOut] = {}
    for path in sorted(Path(folder).rglob("*.png")):
        text = path.with_suffix(".txt")
        if any(part in DRAWN for part in path.relative_to(folder).parts) or not text.is_file():
            continue
        lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
        match = (
            re.fullmatch(r"(?:an?|the) ([a-z' -]+?)[.!]?", lines[0].strip().lower())
            if lines
            else None
        )
        if (
            match
            and len(match[1].split()) <= LONGEST_NAME
            and " of " not in match[1]
            and match[1] not in found
        ):
            try:
                found[match[1]] = CutOut(path, match[1], prevailing_colour(load(path)))
            except (OSError, UnidentifiedImageError):
                continue
    if not found:
        raise DataError(
            f"{folder} holds no cut-out: expected NAME.png with an alpha channel and NAME.txt with"
            " a line such as 'A green bus.'"
        )
    return list(found.values())


def load(path: Path) -> Image.Image:
    """The cut-out, cropped to what is not transparent."""
    with Image.open(path) as file:
        image = file.convert("RGBA")
    return image.crop(image.getchannel("A").getbbox())


def prevailing_colour(image: Image.Image) -> str | None:
    """The everyday name of the colour of most opaque pixels, or None where none prevails."""
    small = image.resize((32, 32))
    names = Counter(
        colour_name(*pixel[:3]) for pixel in small.get_flattened_data() if pixel[3] > 200
    )
    if not names:
        return None
    name, count = names.most_common(1)[0]
    return name if count >= CLEAR_COLOUR * names.total() else None


def colour_name(red: int, green: int, blue: int) -> str:
    """Name an RGB colour, each channel 0 to 255, by its hue, saturation and value."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.2:
        return "black"
    if saturation < 0.15:
        return "white" if value > 0.8 else "gray"
    bounds = (
        (0.03, "red"),
        (0.11, "orange" if value > 0.65 else "brown"),
        (0.19, "yellow"),
        (0.45, "green"),
        (0.7, "blue"),
        (0.85, "purple"),
        (0.95, "pink"),
    )
    return next((name for bound, name in bounds if hue < bound), "red")


def compose(
    placed: Sequence[Placed], background: Image.Image, chance: random.Random
) -> Image.Image:
    """The scene, SIDE x SIDE: the copies of each thing side by side in its part of the picture,
    none over another.
    """
    canvas = (
        background.convert("RGB")
        .resize((SIDE, SIDE))
        .filter(ImageFilter.GaussianBlur(14))
        .convert("RGBA")
    )
    parts = {
        "": (0, 0, 1, 1),
        "left": (0, 0, 0.5, 1),
        "right": (0.5, 0, 1, 1),
        "top": (0, 0, 1, 0.5),
        "bottom": (0, 0.5, 1, 1),
    }
    for one in placed:
        left, top, right, bottom = (SIDE * edge for edge in parts[one.where])
        across = (
            one.count
            if right - left > bottom - top
            else -(-one.count // 2)
            if one.count > 1 and one.where == ""
            else 1
        )
        down = -(-one.count // across)
        width, height = (right - left) / across, (bottom - top) / down
        cut = load(one.thing.path)
        for number in range(one.count):
            share = chance.uniform(0.6, 0.95)
            scale = share * min(width / cut.width, height / cut.height)
            copy = cut.resize((max(8, int(cut.width * scale)), max(8, int(cut.height * scale))))
            x = left + (number % across) * width + chance.uniform(0, width - copy.width)
            y = top + (number // across) * height + chance.uniform(0, height - copy.height)
            canvas.alpha_composite(copy, (int(x), int(y)))
    return canvas.convert("RGB")


def draw(things: Sequence[CutOut], chance: random.Random) -> list[Placed]:
    """What a scene holds: one kind of thing (one to four copies), or two kinds in two halves."""
    if chance.random() < 0.45:
        return [Placed(chance.choice(things), chance.choice((1, 1, 2, 3, 4)), "")]
    halves = chance.choice((("left", "right"), ("top", "bottom")))
    first, second = chance.sample(list(things), 2)
    return [
        Placed(thing, chance.choice((1, 1, 2, 3)), half)
        for thing, half in zip((first, second), halves)
    ]


def caption(placed: Sequence[Placed]) -> list[str]:
    """Two true sentences about the scene."""
    plain = " and ".join(one.words for one in placed)
    if len(placed) == 1:
        return [sentence(plain), sentence(f"The picture shows {plain}")]
    on = {
        "left": "on the left",
        "right": "on the right",
        "top": "at the top",
        "bottom": "at the bottom",
    }
    return [
        sentence(plain),
        sentence(" and ".join(f"{one.words} {on[one.where]}" for one in placed)),
    ]


def questions(
    placed: Sequence[Placed], things: Sequence[CutOut], chance: random.Random
) -> list[tuple[str, str]]:
    """Questions that the scene answers for certain."""
    on = {
        "left": "On the left",
        "right": "On the right",
        "top": "At the top",
        "bottom": "At the bottom",
    }
    asked: list[tuple[str, str]] = []
    for one in placed:
        name, many = one.thing.name, plural(one.thing.name)
        verb = "is the " + name if one.count == 1 else "are the " + many
        asked.append((f"How many {many} are there?", {1: "one", **NUMBER_WORDS}[one.count]))
        asked.append((f"Is there {with_article(name)} in the image?", "yes"))
        if one.where:
            asked.append((f"Where {verb}?", on[one.where]))
            asked.append((f"What is {on[one.where].lower()}?", one.words))
        else:
            asked.append(("What is this?" if one.count == 1 else "What are these?", one.words))
        if one.thing.colour:
            asked.append((f"What color {verb}?", one.thing.colour))
    words = {word for one in placed for word in one.thing.name.split()}
    absent = [thing.name for thing in things if not words & set(thing.name.split())]
    asked += [
        (f"Is there {with_article(name)} in the image?", "no")
        for name in chance.sample(absent, min(len(placed), len(absent)))
    ]
    return [(question, sentence(answer)) for question, answer in asked]


def make(
    stamps: Path, backgrounds: Sequence[Path], out: Path, count: int, seed: int = 0, progress=None
) -> None:
    """Write `count` scenes as a data set at `out`.

    Raises:
        DataError: no cut-outs, or no backgrounds.
    """
    things = cut_outs(stamps)
    if not backgrounds:
        raise DataError(
            "no photo to paste on; give --data folders with photos that are not held out"
        )
    chance = random.Random(seed)
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (
        (out / "captions.csv").open("w", newline="") as first,
        (out / "qa.csv").open("w", newline="") as second,
    ):
        captions, rows = csv.writer(first), csv.writer(second)
        captions.writerow(("image", "caption"))
        rows.writerow(("image", "question", "answer", "official_split"))
        for number in range(count):
            placed = draw(things, chance)
            name = f"scene{number:05d}.jpg"
            with Image.open(chance.choice(backgrounds)) as background:
                compose(placed, background, chance).save(out / "images" / name, quality=92)
            captions.writerows((name, text) for text in caption(placed))
            rows.writerows(
                (name, question, answer, "train")
                for question, answer in questions(placed, things, chance)
            )
            if progress:
                progress(number + 1, count, "scenes")
