import numpy as np
import pytest
from tolerances import assert_alike, float32


def test_sums_in_two_orders_are_alike_and_a_fault_is_not() -> None:
    random = np.random.default_rng(0)
    for terms in (16, 1024, 65536):
        products = random.standard_normal((40, terms)).astype(np.float32)
        forth = np.add.accumulate(products, axis=1)[:, -1]
        back = np.add.accumulate(products[:, ::-1], axis=1)[:, -1]
        assert_alike(forth, back, terms)
        with pytest.raises(AssertionError):  # one product too many
            assert_alike(forth, forth + products[0, 0], terms)
    assert float32(100, 2.0) == 20 * float32(1)
