"""What presidio's pattern recognisers find in texts; run by `personal_data.py` in its environment.

Texts come as JSON on standard input, and finds by kind go out. No model of language is loaded.
"""

import json
import sys
import time
from importlib.metadata import version

from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
)

RECOGNISERS = {
    "email": EmailRecognizer(),
    "iban": IbanRecognizer(),
    "credit_card": CreditCardRecognizer(),
    "ip": IpRecognizer(),
    "phone": PhoneRecognizer(),
}


def main() -> None:
    """Read texts, and write what is found in them."""
    texts = json.load(sys.stdin)
    found = []
    start = time.process_time()
    for text in texts:
        kinds = {}
        for kind, recogniser in RECOGNISERS.items():
            finds = recogniser.analyze(text, recogniser.supported_entities, None) or []
            spans = [[each.start, each.end] for each in finds if each.score >= 0.4]
            if spans:
                kinds[kind] = spans
        found.append(kinds)
    spent = (time.process_time() - start) / len(texts) * 1e6
    versions = {"presidio-analyzer": version("presidio-analyzer")}
    told = {"found": found, "microseconds": round(spent, 1), "versions": versions}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
