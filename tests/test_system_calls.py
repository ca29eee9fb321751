"""Tests of the filter of system calls; what it refuses is tested in the sandbox."""

import pytest

from siftline.contracts.errors import ModelError
from siftline.scorers.judges.system_calls import system_call_filter


def test_a_machine_without_a_filter_is_refused() -> None:
    with pytest.raises(ModelError, match=r"for the machine 'vax', but for aarch64 and x86_64;"):
        system_call_filter("vax")
