"""Parameters of tests that repeat at length what others show: they run with --thorough only."""

import pytest


def marks(repeats):
    """The marks of a parameter, by whether it repeats what others show."""
    return [pytest.mark.thorough] if repeats else []


def thoroughly(*values):
    """Parameters, of one value each, that run with --thorough only."""
    return [pytest.param(value, marks=marks(True)) for value in values]
