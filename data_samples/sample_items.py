"""The clean items of the samples: prompts and right responses, made from templates and a seed."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

NAMES = [
    "Amina",
    "Bruno",
    "Chidi",
    "Dalia",
    "Emre",
    "Farah",
    "Goran",
    "Hana",
    "Ivo",
    "Jonas",
    "Keiko",
    "Leila",
    "Mateo",
    "Nadia",
]
GOODS = [
    "apples",
    "pencils",
    "marbles",
    "stickers",
    "tickets",
    "buttons",
    "shells",
    "candles",
    "stamps",
    "cups",
]
PLACES = ["at the market", "at a school fair", "at the harbour", "in a workshop", "in a village"]


@dataclass(frozen=True)
class Item:
    """One clean question with its right response.

    Attributes:
        prompt: What is asked.
        response: A right response.
        task: arithmetic, facts, rewriting or code.
        answer: The short right answer that the response holds.
        wrong: A short answer that is plausible but wrong; empty where none is made.
        check: Python that passes after the response's code has run; of code items.
    """

    prompt: str
    response: str
    task: str
    answer: str
    wrong: str = ""
    check: str = ""


def _shopping(rng: random.Random) -> tuple[str, list[str], int]:
    name, good, place = rng.choice(NAMES), rng.choice(GOODS), rng.choice(PLACES)
    had, packs, each, gave = (rng.randint(*r) for r in ((5, 40), (2, 9), (3, 12), (2, 10)))
    total = had + packs * each
    prompt = (
        f"{name} has {had} {good} and buys {packs} packs of {each} {good} {place}. "
        f"{name} then gives {gave} away. How many {good} are left?"
    )
    steps = [
        f"The packs hold {packs} * {each} = {packs * each} {good}.",
        f"Together with the first {had} that makes {had} + {packs * each} = {total}.",
        f"After giving {gave} away there are {total} - {gave} = {total - gave}.",
    ]
    return prompt, steps, total - gave


def _trip(rng: random.Random) -> tuple[str, list[str], int]:
    name = rng.choice(NAMES)
    speed, hours, more, left = (rng.randint(*r) for r in ((30, 90), (2, 6), (10, 80), (1, 4)))
    first = speed * hours
    vehicle = rng.choice(["a bus", "a lorry", "a train", "a motorboat"])
    prompt = (
        f"{name} rides {vehicle} at {speed} km an hour for {hours} hours, rests, and then covers "
        f"{more} km in each of {left} more hours. How long is the whole way in km?"
    )
    steps = [
        f"The first part is {speed} * {hours} = {first} km.",
        f"The second part is {more} * {left} = {more * left} km.",
        f"The whole way is {first} + {more * left} = {first + more * left} km.",
    ]
    return prompt, steps, first + more * left


def _wages(rng: random.Random) -> tuple[str, list[str], int]:
    name = rng.choice(NAMES)
    wage, hours, days, rent = (rng.randint(*r) for r in ((9, 30), (3, 8), (3, 6), (20, 60)))
    earned = wage * hours * days
    prompt = (
        f"{name} earns {wage} euros an hour and works {hours} hours on each of {days} days. "
        f"Of that, {rent} euros go to tools. How many euros remain?"
    )
    steps = [
        f"A day brings {wage} * {hours} = {wage * hours} euros.",
        f"{days} days bring {wage * hours} * {days} = {earned} euros.",
        f"What remains is {earned} - {rent} = {earned - rent} euros.",
    ]
    return prompt, steps, earned - rent


def _rows(rng: random.Random) -> tuple[str, list[str], int]:
    good = rng.choice(GOODS)
    rows, seats, taken = rng.randint(4, 15), rng.randint(6, 20), rng.randint(3, 20)
    place = rng.choice(["A hall", "A theatre", "A ferry", "A tent"])
    prompt = (
        f"{place} has {rows} rows of {seats} seats. On each free seat there lie two {good}, and "
        f"{taken} seats are taken. How many {good} lie on the seats?"
    )
    free = rows * seats - taken
    steps = [
        f"There are {rows} * {seats} = {rows * seats} seats.",
        f"Of those, {rows * seats} - {taken} = {free} are free.",
        f"With two {good} each, that makes {free} * 2 = {2 * free}.",
    ]
    return prompt, steps, 2 * free


def _shares(rng: random.Random) -> tuple[str, list[str], int]:
    first, second = rng.sample(NAMES, 2)
    people, each, extra = rng.randint(3, 9), rng.randint(4, 15), rng.randint(2, 12)
    good = rng.choice(GOODS)
    prompt = (
        f"{first} and {second} share {people * each} {good} equally among {people} children. "
        f"Later every child finds {extra} more. How many {good} does one child have?"
    )
    steps = [
        f"Each child first gets {people * each} / {people} = {each} {good}.",
        f"With the ones found that makes {each} + {extra} = {each + extra}.",
    ]
    return prompt, steps, each + extra


_PROBLEMS: tuple[Callable[[random.Random], tuple[str, list[str], int]], ...] = (
    _shopping,
    _trip,
    _wages,
    _rows,
    _shares,
)


def arithmetic(rng: random.Random) -> Iterator[Item]:
    """Yield word problems with their worked solutions, without end."""
    while True:
        prompt, steps, answer = rng.choice(_PROBLEMS)(rng)
        wrong = answer + rng.choice([-10, -2, -1, 1, 2, 5, 10])
        response = " ".join([*steps, f"The answer is {answer}."])
        yield Item(prompt, response, "arithmetic", str(answer), str(wrong))


TOWNS = ("Paris", "Lima", "Oslo", "Cairo", "Accra", "Vienna")
WORDS = [
    "river",
    "lantern",
    "copper",
    "meadow",
    "violet",
    "anchor",
    "basket",
    "thunder",
    "pepper",
    "marble",
    "window",
    "saddle",
]
THINGS = ("bread", "milk", "soap", "rice", "tea", "salt", "flour", "eggs", "beans", "oil", "jam")
TITLES = ("the long way home", "a garden in winter", "notes from the north", "bridges of stone")
PAST = {
    "walks past the old door": "walked past the old door",
    "sings a quiet song": "sang a quiet song",
    "writes two letters": "wrote two letters",
    "finds a coin": "found a coin",
    "opens the red box": "opened the red box",
    "paints a fence": "painted a fence",
    "builds a kite": "built a kite",
    "carries water": "carried water",
}


def _sorted_words(rng: random.Random) -> tuple[str, str]:
    words = rng.sample(WORDS, 5)
    return f"Sort these words alphabetically: {', '.join(words)}.", ", ".join(sorted(words))


def _bullets(rng: random.Random) -> tuple[str, str]:
    things = rng.sample(THINGS, rng.randint(3, 5))
    prompt = f"Turn this shopping list into a bullet list: {', '.join(things)}"
    return prompt, "\n".join(f"- {thing}" for thing in things)


def _to_json(rng: random.Random) -> tuple[str, str]:
    name, age, town = rng.choice(NAMES), rng.randint(19, 70), rng.choice(TOWNS)
    prompt = f"Write this as JSON with the keys name, age and town: {name}, {age}, from {town}."
    return prompt, json.dumps({"name": name, "age": age, "town": town})


def _title_case(rng: random.Random) -> tuple[str, str]:
    title = f"{rng.choice(TITLES)}, part {rng.randint(1, 9)}"
    return f"Give every word of this title a capital letter: {title}", title.title()


def _iso_date(rng: random.Random) -> tuple[str, str]:
    months = ["January", "March", "May", "August", "October"]
    numbers = {"January": 1, "March": 3, "May": 5, "August": 8, "October": 10}
    month, day, year = rng.choice(months), rng.randint(1, 28), rng.randint(1950, 2024)
    prompt = f"Write the date {day} {month} {year} in the form YYYY-MM-DD."
    return prompt, f"{year}-{numbers[month]:02d}-{day:02d}"


def _past_tense(rng: random.Random) -> tuple[str, str]:
    verb, name = rng.choice(list(PAST)), rng.choice(NAMES)
    place = rng.choice(["in the evening", "near the river", "for a friend", "without haste"])
    prompt = f"Put this into the past tense: Every day {name} {verb} {place}."
    return prompt, f"Every day {name} {PAST[verb]} {place}."


def _snake_case(rng: random.Random) -> tuple[str, str]:
    words = rng.sample(WORDS, 3)
    camel = words[0] + "".join(word.title() for word in words[1:])
    return f"Convert the name {camel} to snake_case.", "_".join(words)


def _table_row(rng: random.Random) -> tuple[str, str]:
    cells = [rng.choice(NAMES), str(rng.randint(1, 99)), rng.choice(THINGS)]
    prompt = f"Make a Markdown table row of these values: {'; '.join(cells)}"
    return prompt, f"| {' | '.join(cells)} |"


_REWRITES: tuple[Callable[[random.Random], tuple[str, str]], ...] = (
    _sorted_words,
    _bullets,
    _to_json,
    _title_case,
    _iso_date,
    _past_tense,
    _snake_case,
    _table_row,
)


def rewriting(rng: random.Random) -> Iterator[Item]:
    """Yield formatting tasks whose results are computed, without end."""
    while True:
        prompt, response = rng.choice(_REWRITES)(rng)
        yield Item(prompt, response, "rewriting", response)
