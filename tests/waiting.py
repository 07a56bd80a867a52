"""Waiting in tests: for what has happened, never for how long it took."""

import time

HANGING = 600.0
"""Seconds after which whatever is waited for counts as hanging, on a machine however slow."""


def wait_until(condition, is_going=lambda: True, why=lambda: "it has ended"):
    """Returns once `condition()` holds; fails if what it waits for is no longer going, or hangs.

    Args:
        condition: What is waited for.
        is_going: Whether it may still come.
        why: What to say if it may not.
    """
    end = time.monotonic() + HANGING
    while not condition():
        assert is_going() or condition(), why()
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.02)
