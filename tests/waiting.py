"""Waiting in tests for events, not for durations."""

import time

HANGING = 600.0
"""Seconds after which a wait fails, on any machine."""


def wait_until(condition, is_going=lambda: True, why=lambda: "it has ended"):
    """Waits until `condition()` is true. Fails if it cannot become true any more, or after a timeout.

    Args:
        condition: The condition.
        is_going: Whether the condition may still become true.
        why: Returns the message if it may not.
    """
    end = time.monotonic() + HANGING
    while not condition():
        assert is_going() or condition(), why()
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.02)
