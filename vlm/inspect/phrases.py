"""Short phrases about what photos show, made by templates of our own from lists of everyday words:
what the contextual lens compares with.

No phrase is taken from anybody's captions. The same seed gives the same phrases.
"""

import random

ANIMALS = """dog cat puppy kitten horse cow sheep goat pig donkey elephant lion tiger leopard bear
panda monkey ape gorilla zebra giraffe deer moose camel llama kangaroo koala rabbit squirrel hamster
mouse rat fox wolf raccoon skunk hedgehog bat otter beaver seal whale dolphin shark fish goldfish
ray octopus crab lobster shrimp snail jellyfish turtle tortoise snake lizard crocodile frog toad
bird duck goose swan chicken rooster turkey pigeon parrot owl eagle hawk crow sparrow penguin
ostrich flamingo peacock seagull butterfly moth bee wasp ant fly beetle spider dragonfly grasshopper
ladybug worm caterpillar dinosaur"""
PEOPLE = """man woman boy girl child baby person crowd player dancer singer soldier farmer cook
doctor nurse teacher student worker policeman fireman astronaut pilot driver cyclist runner swimmer
surfer skier climber fisherman painter musician bride couple family team clown king"""
VEHICLES = """car taxi bus truck van train tram bicycle motorcycle scooter boat ship canoe sailboat
airplane helicopter rocket balloon tractor ambulance trailer wagon sled submarine tank"""
ROOMS = """bed sofa chair stool bench table desk lamp shelf cupboard drawer wardrobe mirror window
door curtain carpet rug pillow blanket mattress fireplace stove oven refrigerator microwave toaster
sink toilet bathtub shower faucet towel clock vase candle picture painting poster television radio
computer laptop keyboard screen printer telephone camera fan heater stairs ceiling wall floor tile
brick basket bucket box crate barrel bin"""
THINGS = """cup mug glass bottle bowl plate spoon fork knife pan pot kettle teapot jug tray jar can
book newspaper letter pen pencil scissors hammer saw drill screw nail ladder rope chain lock key
umbrella bag backpack suitcase purse wallet hat cap helmet shirt jacket coat dress skirt trousers
jeans sock shoe boot sandal glove scarf tie belt ring necklace watch glasses sunglasses mask ball
football basketball baseball bat racket skateboard surfboard ski kite frisbee toy doll robot puzzle
dice guitar piano violin drum trumpet flute microphone flag sign map coin stamp envelope balloon
ribbon ladle sponge broom brush comb soap toothbrush bandage syringe microscope telescope compass
magnet battery bulb cable wheel tire engine propeller anchor cannon sword shield rifle arrow tent
hammock parachute fence gate post statue fountain mailbox hydrant"""
FOOD = """apple pear banana orange lemon grape cherry strawberry raspberry peach plum pineapple
mango melon coconut tomato potato carrot onion pepper cucumber cabbage lettuce broccoli mushroom
corn bean pea pumpkin egg bread toast sandwich burger pizza pasta soup salad rice cheese butter milk
juice tea coffee beer wine cake pie cookie chocolate candy pancake waffle doughnut sausage steak
bacon noodle sushi honey jam"""
OUTDOORS = """tree palm bush hedge grass flower rose tulip daisy sunflower lily cactus fern moss
leaf branch trunk root seed nut log stone rock pebble sand mud snow ice water wave river lake
waterfall sea beach island hill mountain cliff cave valley desert volcano field meadow forest garden
path road street bridge tunnel railway station airport harbour lighthouse tower castle palace church
temple mosque pyramid house hut barn windmill skyscraper factory shop market stadium playground sky
cloud rainbow lightning sun moon star fire smoke fog shadow"""
PLACES = """grass snow sand beach street road field forest garden park kitchen bathroom bedroom
office table floor water river lake sea sky mountain bridge wall roof tree fence bench stage boat
sofa bed desk shelf window city village desert meadow ice"""
INSIDE = frozenset(
    [
        "field",
        "forest",
        "garden",
        "park",
        "kitchen",
        "bathroom",
        "bedroom",
        "office",
        "water",
        "river",
        "lake",
        "sea",
        "sky",
        "tree",
        "city",
        "village",
        "desert",
        "meadow",
        "window",
    ]
)
COLOURS = [
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
    "golden",
    "silver",
]
LOOKS = [
    "small",
    "large",
    "old",
    "new",
    "round",
    "long",
    "wooden",
    "metal",
    "shiny",
    "dirty",
    "broken",
    "wet",
    "furry",
    "striped",
    "spotted",
    "empty",
    "bright",
    "dark",
    "blurred",
    "colourful",
]
PARTS = {
    "an animal": (
        "head face eye ear nose mouth tongue tooth horn neck leg paw hoof tail wing feather beak"
        " fin claw shell skin fur back belly whiskers"
    ),
    "a person": (
        "head face eye ear nose mouth lips beard hair neck shoulder arm elbow hand finger thumb"
        " chest back leg knee foot"
    ),
    "a car": "wheel tire door window windshield headlight bumper mirror roof hood seat",
    "a building": "wall roof door window column arch dome balcony chimney stairs tower facade",
    "a tree": "trunk branch twig leaf bark root crown",
    "a flower": "petal stem leaf bud centre",
    "the picture": "background foreground corner edge border middle top bottom",
}
WORLD = {
    "the {} of the photo": "background foreground left right top bottom centre corner border edge",
    "a surface of {}": (
        "wood metal glass plastic paper cloth leather wool stone brick concrete tile water sand"
        " grass snow fur skin feathers"
    ),
    "a pattern of {}": "stripes dots squares circles lines waves checks scales bricks leaves",
    "the colour {}": " ".join(COLOURS),
    "{} light": "bright dim warm cold soft red blue green yellow white",
    "a {} sky": "blue grey cloudy clear dark starry red",
    "a {} wall": "white brick stone painted green blue wooden",
    "a {} background": "white black grey green blue blurred dark plain",
    "the number {}": "one two three four five six seven eight nine ten",
    "the letter {}": "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
    "people who are {}": (
        "running walking jumping sitting standing lying sleeping eating drinking playing singing"
        " dancing swimming riding climbing skiing surfing working reading smiling"
    ),
    "an animal that is {}": (
        "running walking jumping sitting standing lying sleeping eating drinking playing flying"
        " swimming climbing"
    ),
}
NO_ARTICLE = frozenset(
    [
        "jeans",
        "trousers",
        "glasses",
        "sunglasses",
        "scissors",
        "stairs",
        "grass",
        "moss",
        "sand",
        "mud",
        "snow",
        "ice",
        "water",
        "lightning",
        "smoke",
        "fog",
        "rice",
        "pasta",
        "sushi",
        "cheese",
        "butter",
        "milk",
        "juice",
        "tea",
        "coffee",
        "beer",
        "wine",
        "honey",
        "jam",
        "bread",
        "toast",
        "soup",
        "corn",
        "bacon",
        "lettuce",
        "broccoli",
        "candy",
        "soap",
    ]
)
DEFINITE = frozenset(["sky", "sun", "moon", "sea"])


def with_article(words: str, noun: str) -> str:
    """`words`, which end in `noun`, with the article that everyday English gives them."""
    if noun in DEFINITE:
        return f"the {words}"
    if noun in NO_ARTICLE:
        return words
    return f"{'an' if words[0] in 'aeio' or words.startswith('umb') else 'a'} {words}"


def phrases(seed: int = 0) -> tuple[str, ...]:
    """Nearly two thousand phrases of two to six words.

    Each thing alone, in a photo, with a colour or a look, and somewhere.
    """
    chance, found = random.Random(seed), []
    living = (ANIMALS + " " + PEOPLE).split()
    for thing in " ".join((ANIMALS, PEOPLE, VEHICLES, ROOMS, THINGS, FOOD, OUTDOORS)).split():
        found.append(f"a photo of {with_article(thing, thing)}")
        found.append(with_article(f"{chance.choice(LOOKS)} {thing}", thing))
        if thing not in PEOPLE.split():
            found.append(with_article(f"{chance.choice(COLOURS)} {thing}", thing))
    for place in PLACES.split():
        for thing in chance.sample(living, 5):
            found.append(
                f"{with_article(thing, thing)} {'in' if place in INSIDE else 'on'} the {place}"
            )
    for whole, parts in PARTS.items():
        # the last word is the one that is compared
        found += [f"{whole} and its {part}" for part in parts.split()]
    for template, words in WORLD.items():
        found += [template.format(word) for word in words.split()]
    return tuple(dict.fromkeys(found))
