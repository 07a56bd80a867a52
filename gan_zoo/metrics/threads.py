"""Threads for the metrics of many images: one thread of BLAS in each of several of Python's.

NumPy releases Python's lock in matrix products, sorting and arithmetic, so all of them run in parallel. The threads of
OpenBLAS wait for each other many times in one decomposition: on a machine with other busy processes, an eigenvalue
decomposition takes up to 20 times longer on two threads than on one.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

WORKERS = min(8, os.cpu_count() or 1)
"""Number of threads. Each needs memory for its blocks, so more than 8 are not used."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limits linear algebra to the calling thread."""
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield


def parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Returns [function(item) for item in items], computed in `WORKERS` threads."""
    with one_blas_thread(), ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(function, items))
