"""Licences as the Hub's cards name them."""

import pytest

from siftline.pipelines.output.licences import IDENTIFIERS, card_licence, identifier


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("CC BY 4.0", "cc-by-4.0"),
        ("cc_by_sa 3.0", "cc-by-sa-3.0"),
        ("Apache-2.0", "apache-2.0"),
        (" MIT ", "mit"),
        ("CC0 1.0", "cc0-1.0"),
        ("my own", None),
        ("", None),
    ],
)
def test_names_that_the_hub_knows(stated: str, expected: str | None) -> None:
    assert identifier(stated) == expected
    assert expected is None or expected in IDENTIFIERS


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["mit", "MIT"], {"license": "mit"}),
        ([None, None], {"license": "unknown"}),
        (["mit", "CC BY 4.0"], {"license": "other", "license_name": "cc-by-4.0, mit"}),
        (["mit", None], {"license": "other", "license_name": "mit, not stated"}),
        (["a: b\n- c"], {"license": "other", "license_name": "a: b\n- c"}),
        (["other"], {"license": "other", "license_name": "other"}),
    ],
)
def test_several_are_listed(stated: list[str | None], expected: dict[str, str]) -> None:
    assert card_licence(stated) == expected
