"""Words around a number: its units, and those that make it another number or no exact one."""

import re

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")

# Names of a unit, by its sign. Two numbers of different units are not compared.
_NAMES = {
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
    "km": "km kilometer kilometers kilometre kilometres",
    "inch": "inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "mph": "mph",
    "mg": "mg milligram milligrams",
    "g": "g gram grams",
    "kg": "kg kilogram kilograms",
    "t": "t ton tons tonne tonnes",
    "oz": "oz ounce ounces",
    "lb": "lb lbs pound pounds",
    "ms": "ms millisecond milliseconds",
    "s": "s sec second seconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "d": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "year years",
    "ml": "ml milliliter milliliters millilitre millilitres",
    "l": "l L liter liters litre litres",
    "gallon": "gallon gallons",
    "%": "% percent",
    "\u00b0": "\u00b0 degree degrees deg",
    "\u00b0C": "\u00b0C celsius",
    "\u00b0F": "\u00b0F fahrenheit",
    "$": "$ dollar dollars USD",
    "\u20ac": "\u20ac euro euros EUR",
    "\u00a3": "\u00a3 GBP",
    "cent": "cent cents",
    "acre": "acre acres",
    "ha": "ha hectare hectares",
    "kB": "kB KB kilobyte kilobytes",
    "MB": "MB megabyte megabytes",
    "GB": "GB gigabyte gigabytes",
    "TB": "TB terabyte terabytes",
    "kW": "kW kilowatt kilowatts",
    "/": "per",
}
UNITS = {name: sign for sign, names in _NAMES.items() for name in names.split()}

_MONTHS = (
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
_OTHER_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "half halves third thirds quarter quarters fourth fourths fifth fifths tenth tenths pair pairs "
    "hundred hundreds hundredth hundredths thousand thousands thousandth million millions mio "
    "billion billions bn trillion trillions dozen dozens lakh lakhs crore crores mn mil mille mila "
    "tausend millionen milliarden millones pi infinity infty oo percentage permille bps nth "
    "abc xyz binary ternary octal hex hexadecimal base roman"
)
_OPERATIONS = (
    "half third quarter double twice triple thrice times squared cubed square cube root roots sqrt "
    "cbrt frac log ln lg exp sin cos tan cot sec csc cis arcsin arccos arctan abs absolute det "
    "factorial power mod modulo divided multiplied minus negative plus opposite inverse reciprocal "
    "remainder complement derivative integral max min floor ceil round"
)
_DIRECTIONS = (
    "fewer less loss losses lose loses lost debt debts deficit owe owes owed decrease decreases "
    "decreased decline declined drop drops dropped reduction reduced shortfall behind down"
)
_PROSE = (
    "is are was were be been will would can have has had and of in on at to by for from with as so "
    "we he she you they it its her his our their that this these those which who the then thus "
    "hence because since when while where altogether total left remaining overall away old long "
    "tall high wide deep now there here sum all get got may see but us"
)
_ANOTHER_CALCULATION = "check checking verify verifying verification proof step"
_BOUNDS = (
    "about approximately approx around roughly nearly almost circa ca least most than over under "
    "up between below above within minimum maximum exceeding"
)
_ALTERNATIVES = "or either not no never cannot neither nor if unless except isn't wasn't aren't"
_TIMES = "o'clock noon midnight bc bce ad ce century"

MONTHS = frozenset(_MONTHS.split())
HALVES_OF_A_DAY = ("am", "pm")
# After a number they multiply it; elsewhere they say something else.
SCALES = frozenset(("grand", "gross", "score", "scores", "k"))
OPERATIONS = frozenset(_OPERATIONS.split())
ALTERNATIVES = frozenset(_ALTERNATIVES.split())
# Of what they introduce, an equation is no result.
CONDITIONS = frozenset(
    f"when where for let suppose assume assuming given with at {_ANOTHER_CALCULATION}".split()
)
# Of these, none may stand in an answer: the number would be another one, or not exact, or several.
CHANGING = OPERATIONS | ALTERNATIVES
CHANGING |= frozenset(
    f"{_OTHER_NUMBERS} {_BOUNDS} {_TIMES} {_DIRECTIONS} {_ANOTHER_CALCULATION}".split()
)
# What follows a number and is no part of its unit.
PROSE = frozenset(_PROSE.split())


def unit_named(name: str) -> str | None:
    """Return the unit of this name, in one spelling; None where it is not known."""
    return UNITS.get(name) or (UNITS.get(name.casefold()) if len(name) > 2 else None)
