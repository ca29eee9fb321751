r"""Patterns over texts of the data that take linear time, whatever the text and the pattern.

Patterns of a recipe go to RE2, which has neither look-around nor references back, since a pattern
that backtracks can take hours on one row. Its `\d`, `\s`, `\w` and `\b` are those of ASCII.
"""

from typing import Any

import re2


def linear_pattern(pattern: str, *, ignore_case: bool = False) -> Any:
    r"""Return a compiled pattern with the methods of one of `re`.

    Args:
        pattern: In RE2's syntax.
        ignore_case: Match letters of either case.

    Raises:
        ValueError: It is no pattern of RE2's; the message quotes it.
    """
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"got '{pattern}', expected a regular expression of RE2, which takes linear time and "
            f"has no look-around: {said}."
        ) from error
