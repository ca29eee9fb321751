"""Small programming tasks, and solutions that run."""

import random

from sample_items import Item

# Name, parameters, what it does, body, a check.
FUNCTIONS = (
    (
        "is_even",
        "n",
        "tells whether an integer is even",
        "return n % 2 == 0",
        "is_even(4) and not is_even(7)",
    ),
    (
        "count_vowels",
        "text",
        "counts the vowels of a text",
        "return sum(letter in 'aeiou' for letter in text.lower())",
        "count_vowels('Banana') == 3",
    ),
    (
        "reverse_words",
        "text",
        "returns the words of a text in reverse order",
        "return ' '.join(reversed(text.split()))",
        "reverse_words('a b c') == 'c b a'",
    ),
    (
        "factorial",
        "n",
        "returns n factorial",
        "result = 1\n    for k in range(2, n + 1):\n        result *= k\n    return result",
        "factorial(5) == 120",
    ),
    (
        "largest",
        "numbers",
        "returns the largest of some numbers without max",
        "for n in numbers:\n        if all(n >= k for k in numbers):\n            return n",
        "largest([3, 9, 2]) == 9",
    ),
    (
        "fibonacci",
        "n",
        "returns the n-th Fibonacci number, starting from 0 and 1",
        "a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a",
        "[fibonacci(k) for k in range(6)] == [0, 1, 1, 2, 3, 5]",
    ),
    (
        "is_palindrome",
        "text",
        "tells whether a text reads the same backwards, whatever its case",
        "text = text.lower()\n    return text == text[::-1]",
        "is_palindrome('Level') and not is_palindrome('ab')",
    ),
    (
        "mean",
        "numbers",
        "returns the arithmetic mean of a list",
        "return sum(numbers) / len(numbers)",
        "mean([1, 2, 6]) == 3",
    ),
    (
        "flatten",
        "lists",
        "joins a list of lists into one list",
        "return [item for inner in lists for item in inner]",
        "flatten([[1], [2, 3]]) == [1, 2, 3]",
    ),
    (
        "unique",
        "items",
        "removes repeated items but keeps their order",
        "return list(dict.fromkeys(items))",
        "unique([2, 1, 2]) == [2, 1]",
    ),
    (
        "to_fahrenheit",
        "celsius",
        "converts degrees Celsius to Fahrenheit",
        "return celsius * 9 / 5 + 32",
        "to_fahrenheit(100) == 212",
    ),
    (
        "gcd",
        "a, b",
        "returns the greatest common divisor of two positive integers",
        "while b:\n        a, b = b, a % b\n    return a",
        "gcd(12, 18) == 6",
    ),
    (
        "word_counts",
        "text",
        "returns how often each word of a text occurs, as a dictionary",
        "words = text.split()\n    return {word: words.count(word) for word in words}",
        "word_counts('a b a') == {'a': 2, 'b': 1}",
    ),
    (
        "clamp",
        "value, low, high",
        "holds a value between two bounds",
        "return max(low, min(value, high))",
        "clamp(12, 0, 10) == 10",
    ),
    (
        "digits_sum",
        "n",
        "returns the sum of the digits of a non-negative integer",
        "return sum(int(digit) for digit in str(n))",
        "digits_sum(507) == 12",
    ),
    (
        "chunks",
        "items, size",
        "cuts a list into pieces of a given size",
        "return [items[i:i + size] for i in range(0, len(items), size)]",
        "chunks([1, 2, 3], 2) == [[1, 2], [3]]",
    ),
    (
        "is_prime",
        "n",
        "tells whether an integer is a prime number",
        "return n > 1 and all(n % k for k in range(2, int(n ** 0.5) + 1))",
        "is_prime(13) and not is_prime(9)",
    ),
    (
        "common",
        "a, b",
        "returns the sorted items that two lists share",
        "return sorted(set(a) & set(b))",
        "common([3, 1], [1, 3, 4]) == [1, 3]",
    ),
)
_ASKED = (
    "Write a Python function {name}({parameters}) that {does}.",
    "I need a Python function named {name} with the parameters ({parameters}) which {does}.",
)


def code(rng: random.Random) -> list[Item]:
    """Return small programming tasks, each asked in two ways, with solutions that run."""
    items = []
    for name, parameters, does, body, check in FUNCTIONS:
        text = f"```python\ndef {name}({parameters}):\n    {body}\n```"
        for asked in _ASKED:
            prompt = asked.format(name=name, parameters=parameters, does=does)
            items.append(Item(prompt, text, "code", body, check=check))
    rng.shuffle(items)
    return items
