"""The statuses of answers and judgements: why a row has no score, beside those of the engine.

A status that one scorer alone gives, and nobody else reads, stands with that scorer.
"""

# Of an answer that a model has written.
CUT = "cut"  # at its limit of tokens
UNFINISHED_THOUGHT = "unfinished_thought"  # it ended while it thought, as a response may too
EMPTY = "empty_candidate"
UNCHANGED = "unchanged"  # it is the response that it would replace

# Of a judge's reply.
TRUNCATED = "truncated"  # cut at its limit of tokens, or ended in a thought: no verdict
UNPARSABLE = "unparsable"  # no letter, or too few of those sampled have one

# Of an answer that is held against the gold one, and of the gold answer itself.
NO_ANSWER = "no_answer"  # the judge has nothing to go by: no number, no tests, no verdict
GOLD_FAILS = "gold_fails"  # the gold answer does not pass its own tests: one of the two is wrong
EMPTY_TESTS = "empty_tests"  # the tests pass without any code
WRONG_FORMAT = "wrong_format"  # the text lacks the pattern that every answer must contain
