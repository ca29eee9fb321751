"""Words around a number: its units, and those that make it another number or no exact one."""

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
    "tausend millionen milliarden millones double twice triple thrice squared cubed square cube "
    "root roots sqrt cbrt frac log ln exp sin cos tan pi infinity infty oo factorial power mod "
    "modulo divided minus negative plus percentage permille bps"
)
_BOUNDS = (
    "about approximately approx around roughly nearly almost circa ca least most than over under "
    "up between below above within minimum maximum exceeding"
)
_ALTERNATIVES = "or either not no never cannot neither nor if unless except isn't wasn't aren't"
_TIMES = "o'clock noon midnight bc bce ad ce century"

MONTHS = frozenset(_MONTHS.split())
HALVES_OF_A_DAY = ("am", "pm")
# Of these, none may stand in an answer: the number would be another one, or not exact, or several.
CHANGING = frozenset(f"{_OTHER_NUMBERS} {_BOUNDS} {_ALTERNATIVES} {_TIMES}".split())
