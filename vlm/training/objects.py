"""Everyday words: which objects a caption names, and what kind of thing a label is.

Both lists are written by hand and small on purpose: a question about presence is only fair when
"no" is certain.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from vlm.training.datasets import Photo

# name in questions -> words in captions that mean it (plural forms are added)
OBJECTS: dict[str, tuple[str, ...]] = {
    "person": (
        "person",
        "people",
        "man",
        "men",
        "woman",
        "women",
        "boy",
        "girl",
        "child",
        "children",
        "kid",
        "lady",
        "guy",
        "baby",
        "toddler",
        "player",
        "rider",
        "skier",
        "surfer",
        "skateboarder",
        "snowboarder",
        "biker",
        "climber",
        "swimmer",
        "crowd",
        "group",
        "family",
        "gentleman",
        "girls",
        "someone",
        "teenager",
        "adult",
        "couple",
        "chef",
        "runner",
        "cyclist",
        "hiker",
        "soldier",
        "cowboy",
        "male",
        "female",
        "he",
        "she",
        "his",
        "her",
        "team",
        "wrestler",
        "boxer",
        "fisherman",
        "worker",
        "dancer",
        "performer",
        "catcher",
        "batter",
        "pitcher",
        "skater",
        "student",
        "friend",
        "tourist",
        "pedestrian",
        "driver",
        "motorcyclist",
        "bicyclist",
        "officer",
        "gymnast",
        "acrobat",
        "bride",
        "groom",
        "mother",
        "father",
        "son",
        "daughter",
        "mom",
        "dad",
        "hand",
        "face",
        "teen",
        "youth",
        "athlete",
        "goalie",
    ),
    "dog": (
        "dog",
        "puppy",
        "puppies",
        "poodle",
        "greyhound",
        "terrier",
        "collie",
        "labrador",
        "retriever",
        "bulldog",
        "dalmatian",
        "rottweiler",
        "dachshund",
        "canine",
        "sheepdog",
        "hound",
    ),
    "cat": ("cat", "kitten", "kitty"),
    "horse": ("horse", "pony", "ponies", "colt"),
    "cow": ("cow", "cattle", "bull", "calf", "ox", "steer"),
    "sheep": ("sheep", "lamb", "ram"),
    "elephant": ("elephant",),
    "bear": ("bear",),
    "zebra": ("zebra",),
    "giraffe": ("giraffe",),
    "bird": (
        "bird",
        "duck",
        "goose",
        "geese",
        "seagull",
        "parrot",
        "pigeon",
        "swan",
        "owl",
        "eagle",
        "hawk",
        "chicken",
        "rooster",
        "turkey",
        "falcon",
        "gull",
    ),
    "car": ("car", "suv", "sedan", "taxi", "van", "jeep", "vehicle", "automobile"),
    "bus": ("bus", "buses"),
    "truck": ("truck", "lorry", "pickup"),
    "train": ("train", "locomotive", "subway", "tram"),
    "airplane": ("airplane", "plane", "jet", "aircraft", "airliner", "jetliner"),
    "boat": ("boat", "ship", "canoe", "kayak", "sailboat", "raft", "yacht", "ferry"),
    "bicycle": ("bicycle", "bike", "bmx", "cycle", "cyclist", "biker", "bicyclist"),
    "motorcycle": (
        "motorcycle",
        "motorbike",
        "dirtbike",
        "moped",
        "scooter",
        "motocross",
        "bike",
        "biker",
    ),
    "skateboard": ("skateboard", "skateboarder", "skateboarding", "skater"),
    "surfboard": ("surfboard", "surfer", "surfing", "surf", "board"),
    "ski": ("ski", "skier", "skiing", "skis"),
    "ball": ("ball", "football", "basketball", "baseball", "soccer", "tennis", "volleyball"),
    "frisbee": ("frisbee", "disc", "disk"),
    "kite": ("kite",),
    "umbrella": ("umbrella", "parasol"),
    "bench": ("bench", "benches"),
    "traffic light": ("traffic light", "traffic signal", "stoplight", "street light", "stop light"),
    "fire hydrant": ("hydrant",),
    "clock": ("clock",),
    "bed": ("bed", "bunk", "bedroom", "mattress"),
    "sofa": ("sofa", "couch", "couches", "loveseat", "settee"),
    "chair": ("chair", "armchair", "stool", "recliner", "seat"),
    "table": ("table", "desk", "counter", "nightstand"),
    "television": ("television", "tv", "monitor", "screen"),
    "laptop": ("laptop", "computer"),
    "toilet": ("toilet", "commode", "bathroom", "restroom", "washroom", "urinal"),
    "sink": ("sink", "basin", "bathroom", "kitchen", "washroom"),
    "bathtub": ("bathtub", "tub", "bath", "bathroom", "washroom"),
    "refrigerator": ("refrigerator", "fridge", "kitchen"),
    "oven": ("oven", "stove", "cooker", "kitchen"),
    "fireplace": ("fireplace", "fire", "chimney", "hearth"),
    "window": ("window",),
    "lamp": ("lamp", "light", "chandelier", "lighting", "lit"),
    "pizza": ("pizza",),
    "cake": ("cake", "cupcake"),
    "sandwich": ("sandwich", "sandwiches", "burger", "hamburger"),
    "banana": ("banana",),
    "bottle": ("bottle",),
    "cup": ("cup", "mug", "glass", "drink"),
    "book": ("book", "bookshelf"),
    "phone": ("phone", "cellphone", "telephone", "smartphone"),
    "teddy bear": ("teddy", "stuffed"),
    "snow": (
        "snow",
        "snowy",
        "ski",
        "skier",
        "skiing",
        "snowboard",
        "snowboarder",
        "snowboarding",
        "ice",
        "winter",
        "snowball",
        "sled",
        "slope",
    ),
    "water": (
        "water",
        "ocean",
        "sea",
        "lake",
        "river",
        "pool",
        "pond",
        "wave",
        "beach",
        "surf",
        "surfer",
        "swim",
        "swimming",
        "stream",
        "fountain",
        "boat",
        "puddle",
        "creek",
        "surfing",
        "kayak",
        "canoe",
        "shore",
        "waterfall",
        "splash",
        "bay",
        "harbor",
        "rain",
        "wet",
        "sprinkler",
        "hose",
    ),
    "beach": (
        "beach",
        "sand",
        "shore",
        "ocean",
        "surf",
        "seaside",
        "coast",
        "surfer",
        "sandy",
        "sea",
    ),
    "grass": (
        "grass",
        "grassy",
        "lawn",
        "field",
        "meadow",
        "pasture",
        "yard",
        "park",
        "green",
        "hill",
        "outside",
        "golf",
        "soccer",
    ),
    "flower": ("flower", "rose", "bouquet", "vase", "tulip", "plant", "floral"),
    "tree": (
        "tree",
        "forest",
        "woods",
        "wood",
        "jungle",
        "branch",
        "palm",
        "park",
        "leaf",
        "leaves",
        "log",
        "bush",
        "plant",
        "outside",
    ),
    "mountain": (
        "mountain",
        "cliff",
        "hill",
        "rock",
        "peak",
        "canyon",
        "slope",
        "ski",
        "skier",
        "skiing",
        "climbing",
        "climber",
        "climb",
        "hillside",
    ),
    "building": (
        "building",
        "house",
        "church",
        "tower",
        "city",
        "street",
        "town",
        "skyscraper",
        "temple",
        "castle",
        "store",
        "shop",
        "hotel",
        "barn",
        "downtown",
        "wall",
        "urban",
    ),
}

# names that suit "Is there ... in the image?" without an article
MASS_NOUNS = frozenset({"snow", "water", "grass"})

# an everyday kind of thing -> WordNet words (any ancestor of a label's synset) that mean it; the
# first that fits is said
KINDS: dict[str, tuple[str, ...]] = {
    name: (name,)
    for name in [
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
        "dinosaur",
        "car",
        "truck",
        "bus",
        "bicycle",
        "motorcycle",
        "train",
        "boat",
        "ship",
        "airplane",
        "helmet",
        "hat",
        "shoe",
        "bag",
        "bottle",
        "cup",
        "bowl",
        "chair",
        "sofa",
        "table",
        "bed",
        "lamp",
        "clock",
        "camera",
        "computer",
        "telephone",
        "television",
        "guitar",
        "ball",
        "bridge",
        "tower",
        "house",
        "boat",
        "knife",
        "fruit",
        "vegetable",
        "mushroom",
        "flower",
        "tree",
        "fungus",
        "coral",
        "bread",
    ]
}
KINDS |= {
    "musical instrument": ("musical instrument",),
    "piece of furniture": ("furniture",),
    "piece of clothing": ("clothing", "garment"),
    "building": ("building",),
    "tool": ("tool",),
    "kitchen appliance": ("kitchen appliance",),
    "home appliance": ("home appliance",),
    "weapon": ("weapon",),
    "vehicle": ("vehicle",),
    "container": ("container",),
    "machine": ("machine",),
    "kind of food": ("food", "foodstuff", "nutriment"),
    "plant": ("plant",),
    "animal": ("animal",),
    "device": ("device",),
    "person": ("person",),
}
# label folders whose every label is of one kind
KIND_OF_DATASET = {"birds525_valid": "bird", "popular_animals": "animal"}
TOO_ABSTRACT = frozenset(
    {
        "entity",
        "physical entity",
        "object",
        "whole",
        "artifact",
        "instrumentality",
        "matter",
        "abstraction",
        "thing",
        "unit",
        "organism",
        "living thing",
        "causal agent",
        "substance",
        "chordate",
        "vertebrate",
        "placental",
        "covering",
        "structure",
        "consumer goods",
        "commodity",
        "article",
        "durables",
        "solid",
        "part",
        "relation",
        "natural object",
        "physical object",
        "artefact",
        "instrumentation",
        "being",
        "animate thing",
        "craniate",
    }
)


@cache
def _pattern(name: str) -> re.Pattern:
    words = "|".join(re.escape(word) for word in OBJECTS[name])
    return re.compile(rf"\b(?:{words})(?:s|es)?\b")


def named_objects(captions: Iterable[str]) -> tuple[str, ...]:
    """The objects that at least one of the captions names or implies."""
    text = " | ".join(captions).lower()
    return tuple(name for name in OBJECTS if _pattern(name).search(text))


def literally_named(name: str, captions: Iterable[str]) -> bool:
    """Whether a caption says the very word (or its plural): the certain cases of presence."""
    return re.search(
        rf"\b{re.escape(name)}(?:s|es)?\b", " | ".join(captions).lower()
    ) is not None or (name == "person" and "person" in named_objects(captions))


def with_article(name: str) -> str:
    if name in MASS_NOUNS:
        return name
    return ("an " if name[0].lower() in "aeiou" else "a ") + name


def synset_of(photo: Photo) -> str | None:
    """The WordNet id that ImageNet's file names begin with ("n02084071_17.jpg"), or None."""
    match = re.match(r"(n\d{8})_", photo.name)
    return match[1] if match else None


class WordNet:
    """Nouns of a WordNet 3.0 folder (`data.noun`, for example Debian's `wordnet-base`): the
    ancestors of a synset.
    """

    def __init__(self, folder: Path):
        self._words: dict[int, tuple[str, ...]] = {}
        self._parents: dict[int, tuple[int, ...]] = {}
        for line in (Path(folder) / "data.noun").open(encoding="latin-1"):
            if line.startswith(" "):
                continue
            fields = line.split(" | ")[0].split()
            count = int(fields[3], 16)
            offset, start = int(fields[0]), 4 + 2 * count
            self._words[offset] = tuple(
                fields[4 + 2 * index].replace("_", " ") for index in range(count)
            )
            pointers = range(start + 1, start + 1 + 4 * int(fields[start]), 4)
            self._parents[offset] = tuple(
                int(fields[at + 1]) for at in pointers if fields[at] in ("@", "@i")
            )

    def words(self, synset: str) -> tuple[str, ...]:
        """The words of "n02084071"-like ids; empty for an unknown id."""
        return self._words.get(int(synset.lstrip("n")), ())

    def ancestors(self, synset: str) -> tuple[str, ...]:
        """Words of every hypernym, nearest first, without the most abstract ones."""
        found: list[str] = []
        level = [int(synset.lstrip("n"))]
        while level:
            level = [parent for offset in level for parent in self._parents.get(offset, ())]
            found += [
                word
                for offset in level
                for word in self._words[offset]
                if word not in found and word not in TOO_ABSTRACT
            ]
        return tuple(found)


def kind_of(ancestors: Iterable[str]) -> str | None:
    """The everyday kind that a chain of WordNet ancestors belongs to."""
    chain = set(ancestors)
    return next((kind for kind, words in KINDS.items() if chain.intersection(words)), None)
