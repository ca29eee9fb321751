"""The words of texts, by which their language is told: no code, addresses, formulas or numbers.

Each pattern goes over a whole column in C++ (RE2), in time that is linear in the text.
"""

import pyarrow as pa
import pyarrow.compute as pc

# What is in no language, in the order in which it is taken out.
_WORDLESS = (
    r"(?s)```.*?(?:```|\z)",  # a block that is not closed is code to its end
    r"(?ms)^~~~.*?^~~~",
    # Lines of code that nobody has fenced, as they end or begin in most languages.
    r"(?m)^(?:[^\n]*\{|[ \t]*\}[^\n]*|[^\n]*[()=\[\]<>][^\n]*;[ \t}]*)[ \t]*$",
    r"(?m)^[ \t]*(?:using|import|package|return|break|continue)\b[^\n]*;[ \t}]*$",
    r"(?m)^[ \t]*(?:def|class|for|while|if|elif|else|try|except|with)\b[^\n]*:[ \t]*$",
    r"(?m)^[ \t]*(?:import [\w.]+(?: as \w+)?|from [\w.]+ import [^\n]+|#include[^\n]+)$",
    r"(?m)^[ \t]*[A-Za-z_][\w.\[\]]*(?: [A-Za-z_]\w*)? ?[-+*/]?=[^\n]+$",
    r"(?m)^[ \t]+return\b[^\n]*$",
    r"(?m)^[ \t]*[\w.]+\([^\n]*\)[ \t]*$",
    r"`[^`\n]{1,500}`",
    r"(?i)\b(?:[a-z][a-z+.-]{1,20}://|www\.)[!-~]+",  # Chinese may follow without a space
    r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+",
    r"\$\$[^$]+\$\$",
    r"(?s)\\\[.*?\\\]",
    r"(?s)\\\(.*?\\\)",
    r"(?s)\\begin\{[^{}\n]{1,40}\}.*?\\end\{[^{}\n]{1,40}\}",
    r"\$[^\s$](?:[^$\n]{0,200}[^\s$])?\$(?:[^0-9]|\z)",  # as Pandoc tells formulas from prices
    r"\\[A-Za-z]+",
    r"<[/!?]?[A-Za-z][^<>]{0,300}>",
    r"&#?\w{1,10};",
    r"\w*[0-9_]\w*",  # names of variables and versions; \w is of ASCII
)
# Joiners are letters' in Persian and in scripts of India.
_NO_LETTERS = r"[^\p{L}\p{M}'\x{2019}\x{200c}\x{200d}]+"


def words_of(texts: pa.Array) -> pa.Array:
    """Return the words of each text in lower case, one space between; '' where there are none.

    Fewer than two letters are no word. Capitals are lowered since both detectors take a text of
    capitals for another language.

    Args:
        texts: [texts] Strings.
    """
    for pattern in _WORDLESS:
        texts = pc.replace_substring_regex(texts, pattern, " ")
    words = pc.utf8_trim(pc.replace_substring_regex(texts, _NO_LETTERS, " "), " '\u2019")
    spoken = pc.match_substring_regex(words, r"\p{L}.*\p{L}")
    return pc.if_else(spoken, pc.utf8_lower(words), "")
