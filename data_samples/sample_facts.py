"""Short questions about things that are certain, and their answers."""

import random

from sample_items import Item

CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Egypt": "Cairo",
    "Cuba": "Havana",
    "Poland": "Warsaw",
    "Greece": "Athens",
    "Chile": "Santiago",
    "Canada": "Ottawa",
    "Portugal": "Lisbon",
    "Hungary": "Budapest",
    "Ireland": "Dublin",
    "Thailand": "Bangkok",
    "Finland": "Helsinki",
    "Austria": "Vienna",
    "Spain": "Madrid",
    "Iceland": "Reykjavik",
    "Ghana": "Accra",
}
SYMBOLS = {
    "gold": "Au",
    "silver": "Ag",
    "iron": "Fe",
    "sodium": "Na",
    "potassium": "K",
    "lead": "Pb",
    "oxygen": "O",
    "helium": "He",
    "carbon": "C",
    "copper": "Cu",
    "tin": "Sn",
    "calcium": "Ca",
    "mercury": "Hg",
    "nitrogen": "N",
}
OPPOSITES = {
    "hot": "cold",
    "early": "late",
    "full": "empty",
    "deep": "shallow",
    "ancient": "modern",
    "expand": "contract",
    "victory": "defeat",
    "generous": "stingy",
    "rough": "smooth",
    "arrive": "depart",
    "rare": "common",
    "ascend": "descend",
}
# Question, answer, the sentence that gives it, and an answer that is wrong.
FACTS = (
    ("How many legs does a spider have?", "eight", "A spider has {} legs.", "six"),
    (
        "Which planet is closest to the Sun?",
        "Mercury",
        "{} is the planet closest to the Sun.",
        "Venus",
    ),
    (
        "At how many degrees Celsius does water boil at sea level?",
        "100",
        "At sea level water boils at {} degrees Celsius.",
        "90",
    ),
    ("How many sides does a hexagon have?", "six", "A hexagon has {} sides.", "seven"),
    (
        "Which gas do plants take from the air for photosynthesis?",
        "carbon dioxide",
        "For photosynthesis plants take {} from the air.",
        "nitrogen",
    ),
    ("How many minutes are there in a day?", "1440", "A day of 24 hours has {} minutes.", "1240"),
    (
        "Which ocean lies between Africa and Australia?",
        "Indian",
        "The {} Ocean lies between Africa and Australia.",
        "Arctic",
    ),
    ("Who wrote the play Hamlet?", "William Shakespeare", "{} wrote Hamlet.", "Charles Dickens"),
    ("What is the square root of 144?", "12", "The square root of 144 is {}.", "14"),
    (
        "How many strings does a standard violin have?",
        "four",
        "A standard violin has {} strings.",
        "five",
    ),
    (
        "Which organ pumps blood through the human body?",
        "heart",
        "The {} pumps blood through the body.",
        "liver",
    ),
    (
        "How many letters does the English alphabet have?",
        "26",
        "The English alphabet has {} letters.",
        "24",
    ),
    ("What do bees make from nectar?", "honey", "From nectar bees make {}.", "silk"),
    (
        "Which is the largest planet of the solar system?",
        "Jupiter",
        "{} is the largest planet of the solar system.",
        "Saturn",
    ),
    ("How many grams are there in a kilogram?", "1000", "A kilogram has {} grams.", "100"),
    ("In which direction does the Sun rise?", "east", "The Sun rises in the {}.", "west"),
    ("What is frozen water called?", "ice", "Frozen water is called {}.", "steam"),
    (
        "Which metal is liquid at room temperature?",
        "mercury",
        "At room temperature {} is a liquid metal.",
        "copper",
    ),
    ("How many days does a leap year have?", "366", "A leap year has {} days.", "364"),
    ("Which mammal can truly fly?", "bat", "The {} is the mammal that can truly fly.", "penguin"),
)


def facts(rng: random.Random) -> list[Item]:
    """Return short questions about things that are certain, shuffled."""
    items = [
        Item(question, sentence.format(answer), "facts", answer, wrong)
        for question, answer, sentence, wrong in FACTS
    ]
    for table, question, sentence in (
        (CAPITALS, "What is the capital of {}?", "The capital of {} is {}."),
        (SYMBOLS, "What is the chemical symbol of {}?", "The chemical symbol of {} is {}."),
        (OPPOSITES, "Which word is the opposite of '{}'?", "The opposite of '{}' is '{}'."),
    ):
        for key, value in table.items():
            wrong = rng.choice([other for other in table.values() if other != value])
            asked = question.format(key)
            if rng.random() < 0.4:
                asked = f"Please answer briefly. {asked}"
            items.append(Item(asked, sentence.format(key, value), "facts", value, wrong))
    rng.shuffle(items)
    return items
