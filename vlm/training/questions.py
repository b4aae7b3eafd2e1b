"""From captions, labels and answers to questions with right answers, in plain words.

Text in, text out: nothing here knows tokens or features. Every rule states a fact that the human
text already states; what cannot be read off with certainty is not asked.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vlm.training.datasets import Photo
from vlm.training.objects import (
    KIND_OF_DATASET,
    OBJECTS,
    WordNet,
    kind_of,
    literally_named,
    named_objects,
    synset_of,
    with_article,
)

CAPTION_QUESTIONS = (
    "Describe the image.",
    "Describe this picture in one sentence.",
    "What is in this image?",
    "Write a short caption.",
    "What do you see?",
    "What is in the picture?",
    "What is happening in this image?",
    "Describe this photo.",
)
LABEL_QUESTIONS = (
    "What is this?",
    "What is the main object in the image?",
    "What is in this image?",
    "What does the picture show?",
    "What do you see?",
    "Describe the image.",
)
PRESENCE_QUESTIONS = (
    "Is there {} in the image?",
    "Is there {} in this picture?",
    "Do you see {}?",
    "Does the image show {}?",
)
ANIMALS = frozenset(
    [
        "dog",
        "cat",
        "wolf",
        "fox",
        "bear",
        "monkey",
        "ape",
        "whale",
        "seal",
        "rabbit",
        "squirrel",
        "mouse",
        "sheep",
        "goat",
        "deer",
        "antelope",
        "horse",
        "elephant",
        "bird",
        "fish",
        "shark",
        "snake",
        "lizard",
        "turtle",
        "frog",
        "spider",
        "crab",
        "insect",
        "butterfly",
        "beetle",
        "snail",
        "animal",
    ]
)
COLOURS = [
    "black",
    "white",
    "brown",
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "pink",
    "purple",
    "gray",
    "grey",
    "tan",
    "golden",
    "blond",
]
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
SUBJECTS = (
    "man|woman|boy|girl|child|person|dog|cat|bird|horse|people|men|women|boys|girls|children|dogs|kids|player|surfer|skier|skateboarder|cow|cows|horses|bear|elephant|group"
    " of people"
)
SIDED = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_SUBJECT = re.compile(
    rf"^(?:a|an|the|two|three|one|some) (?:[\w-]+ ){{0,2}}?({SUBJECTS})\b(?!"
    r" (?:and|with|in|on|of))",
    re.IGNORECASE,
)
_ACTION = re.compile(
    rf"^(?:a|an|the|two|three|one|some|several)? ?(?:[\w-]+,? ){{0,3}}?\b({SUBJECTS}) (?:is |are"
    r" )?((?!standing\.|during|morning|evening|something|nothing|anything)\w+ing(?:"
    r" [\w,'-]+){0,9})\.$",
    re.IGNORECASE,
)
_PLACE = re.compile(
    rf"\b({SUBJECTS})\b.*?\b((?:on|in|at|near|under|along|through|inside|beside)"
    r" (?:a|an|the|some|his|her|their)? ?(?:[\w-]+"
    r" ){0,3}(?:grass|beach|snow|water|street|field|road|table|"
    r"couch|sofa|bed|park|room|kitchen|bathroom|pool|ocean|river|lake|mountain|sand|forest|woods|track|bench|slope|hill|yard|sidewalk|floor|air|wave|waves|court|ramp|dirt|rock|rocks|desk|fence|tree|trees))\.$",
    re.IGNORECASE,
)
_COLOUR = re.compile(
    rf"\b({'|'.join(COLOURS)})"
    r" (shirt|dress|jacket|dog|cat|horse|car|bus|train|truck|hat|coat|ball|bird|couch|sofa|bike|boat|shorts|wall|walls|bed|umbrella|helmet|sweater|kite|frisbee|cow|bear|"
    r"plane|airplane|bench|chair|chairs|door|hair|fire"
    r" hydrant|uniform|cabinets|curtains|carpet|swimsuit|outfit|t-shirt)\b",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"\b(one|two|three|four|five|six) (?:[\w-]+"
    r" ){0,1}?(dogs?|men|women|boys|girls|children|people|cats|horses|birds|cows|elephants|giraffes|zebras|boats|sheep|kids|bears|chairs|beds|sinks|sofas|couches|planes|buses|players|adults|females|males|trains|kites|skiers|surfers|bikers)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Asked:
    """A question and its right answers, in words.

    `sided`: true only of the photo as it is, not of its mirror image.
    """

    question: str
    answers: tuple[str, ...]
    kind: str
    sided: bool = False


def sentence(text: str) -> str:
    """One trimmed sentence: capital first letter, one full stop, no space before a comma."""
    text = (
        " ".join(text.split())
        .strip(" .\"'")
        .replace(" ,", ",")
        .replace(" 's", "'s")
        .replace(" n't", "n't")
    )
    return text[0].upper() + text[1:] + "." if text else ""


def label_words(label: str) -> str:
    return " ".join(label.replace("_", " ").split()).strip().lower()


def about_captions(captions: Sequence[str]) -> list[Asked]:
    """What the captions of one photo state: the captions themselves, and colour, number, deed and
    place where they say so.
    """
    sentences = tuple(dict.fromkeys(sentence(caption) for caption in captions))
    short = tuple(one for one in sentences if one and len(one) < 130)
    asked = [
        Asked(question, (one,), "caption", bool(SIDED.search(one)))
        for one in short
        for question in CAPTION_QUESTIONS[:1]
    ]
    colours: dict[str, set[str]] = {}
    numbers: dict[str, set[str]] = {}
    deeds: dict[str, list[str]] = {}
    places: dict[str, list[str]] = {}
    for one in short:
        for colour, thing in _COLOUR.findall(one):
            colours.setdefault(thing.lower(), set()).add(colour.lower().replace("grey", "gray"))
        for number, things in _COUNT.findall(one):
            numbers.setdefault(things.lower(), set()).add(number.lower())
        if match := _ACTION.match(one):
            deeds.setdefault(match[1].lower(), []).append(match[2])
        if match := _PLACE.search(one):
            places.setdefault(match[1].lower(), []).append(match[2])
    for thing, found in colours.items():
        if len(found) == 1:
            verb = "are" if thing.endswith("s") and thing not in ("bus", "dress") else "is"
            for word in ("color", "colour"):
                asked.append(
                    Asked(
                        f"What {word} {verb} the {thing}?", (sentence(next(iter(found))),), "colour"
                    )
                )
    for things, found in numbers.items():
        if len(found) == 1 and things != "dog":
            asked.append(
                Asked(f"How many {things} are there?", (sentence(next(iter(found))),), "count")
            )
    for who, found in deeds.items():
        plural = who in (
            "people",
            "men",
            "women",
            "boys",
            "girls",
            "children",
            "dogs",
            "kids",
            "cows",
            "horses",
        )
        asked.append(
            Asked(
                f"What {'are' if plural else 'is'} the {who} doing?",
                tuple(sentence(deed) for deed in found[:2]),
                "deed",
                bool(SIDED.search(" ".join(found))),
            )
        )
    for who, found in places.items():
        plural = who in (
            "people",
            "men",
            "women",
            "boys",
            "girls",
            "children",
            "dogs",
            "kids",
            "cows",
            "horses",
        )
        asked.append(
            Asked(f"Where {'are' if plural else 'is'} the {who}?", (sentence(found[0]),), "place")
        )
    return asked


def about_label(label: str, kind: str | None) -> list[Asked]:
    """What a class name states.

    `kind` is an everyday kind ("dog", "bird"), said beside the name when it is another word.
    """
    name = label_words(label)
    thing = with_article(name)
    if kind and kind not in name:
        long = (
            f"This is {thing}, {with_article(kind)}."
            if not kind.startswith(("kind", "piece"))
            else f"This is {thing}, a {kind}."
        )
    else:
        long = f"This is {thing}."
    shows = f"The picture shows {thing}."
    asked = [
        Asked(LABEL_QUESTIONS[0], (long,), "label"),
        Asked(LABEL_QUESTIONS[1], (sentence(thing),), "label"),
    ]
    asked += [Asked(question, (shows,), "label") for question in LABEL_QUESTIONS[2:]]
    if kind in ANIMALS:
        asked.append(Asked("What animal is this?", (sentence(thing),), "label"))
    if kind and kind not in ("device", "machine", "animal") and kind not in name:
        asked.append(
            Asked(
                f"What {kind if kind.startswith('kind') else 'kind of ' + kind} is this?",
                (sentence(thing),),
                "label",
            )
        )
    return asked


def about_room(label: str) -> list[Asked]:
    name = label_words(label)
    if name.startswith("house"):
        return [
            Asked("What is this?", ("This is the outside of a house.",), "label"),
            Asked("Describe the image.", ("The outside of a house.",), "label"),
        ]
    return [
        Asked("What room is this?", (f"A {name}.",), "label"),
        Asked("What is this?", (f"This is a {name}.",), "label"),
        Asked("Describe the image.", (f"A {name}.",), "label"),
    ]


def presence(names: Sequence[str], answer: bool, chance: random.Random) -> Asked | None:
    """One yes/no question about one of `names`."""
    if not names:
        return None
    name = chance.choice(list(names))
    return Asked(
        chance.choice(PRESENCE_QUESTIONS).format(with_article(name)),
        ("Yes." if answer else "No.",),
        "presence",
    )


def fits(caption: str, answer: bool) -> Asked:
    """One yes/no question about a whole sentence."""
    return Asked(
        f"Is this true of the image? {caption}",
        ("Yes." if answer else "No.",),
        "fits",
        bool(SIDED.search(caption)),
    )


def about_rows(questions: Sequence[tuple[str, str, str]]) -> list[Asked]:
    """Rows of `qa.csv` of the training split whose answer is one thing."""
    return [
        Asked(
            sentence(question).rstrip(".?") + "?",
            (sentence(answer.replace("_", " ")),),
            "row",
            bool(SIDED.search(f"{question} {answer}")),
        )
        for question, answer, split in questions
        if split == "train" and "," not in answer
    ]


@dataclass(frozen=True)
class Facts:
    """Everything that may be asked about one photo, prepared once."""

    asked: tuple[Asked, ...]
    present: tuple[str, ...]  # names for a certain "yes"
    absent: tuple[str, ...]  # names for a certain "no"
    # captions, each with those of `present` that it names
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()


def facts(photo: Photo, wordnet: WordNet | None = None, other_labels: Sequence[str] = ()) -> Facts:
    """`other_labels`: the labels of the same data set, candidates for "no"."""
    asked = about_captions(photo.captions) + about_rows(photo.questions)
    present: list[str] = []
    absent: list[str] = []
    if photo.captions:
        named = named_objects(photo.captions)
        present += [name for name in named if literally_named(name, photo.captions)]
        absent += [name for name in OBJECTS if name not in named]
    if photo.label and photo.dataset == "houses_rooms":
        asked += about_room(photo.label)
    elif photo.label:
        kind, ancestors = describe_label(photo, wordnet)
        asked += about_label(photo.label, kind)
        name = label_words(photo.label)
        present += [
            name,
            *(
                [kind]
                if kind and not kind.startswith(("kind", "piece")) and kind != "device"
                else []
            ),
        ]
        family = {name, *ancestors, *(word for word in name.split())}
        if kind:
            family.add(kind)
        if kind in ANIMALS:
            family.add("animal")
        absent += [
            other
            for other in map(label_words, other_labels)
            if not family & {other, *other.split()}
        ]
    sentences = [one.answers[0] for one in asked if one.kind == "caption"]
    told = tuple(
        (one, tuple(name for name in present if literally_named(name, (one,)))) for one in sentences
    )
    return Facts(tuple(asked), tuple(dict.fromkeys(present)), tuple(dict.fromkeys(absent)), told)


def describe_label(photo: Photo, wordnet: WordNet | None) -> tuple[str | None, tuple[str, ...]]:
    """(kind, ancestors) of a photo's label: by WordNet id in the file name, by the data set, or by
    the folders in the file name.
    """
    if wordnet and (synset := synset_of(photo)):
        ancestors = wordnet.ancestors(synset)
        return kind_of(ancestors), ancestors
    if photo.dataset in KIND_OF_DATASET:
        kind = KIND_OF_DATASET[photo.dataset]
        return kind, (kind, "animal")
    if "__" in photo.name and photo.dataset == "grocery_store":
        group = photo.name.split("__")[1].lower().rstrip("s")
        return (group if group in ("fruit", "vegetable") else "package"), (
            group,
            *(part.replace("-", " ").lower() for part in photo.name.split("__")[2:4]),
        )
    return None, ()
