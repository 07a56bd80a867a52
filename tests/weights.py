"""Contents of checkpoints, for comparisons bit by bit."""

from pathlib import Path

import h5py
import numpy as np


def arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    """Returns every array of a checkpoint's files, by the names of its file and of the array."""
    found = {}
    for path in sorted(checkpoint.glob("*.h5")):
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item, path=path: (
                    found.update({f"{path.name} {name}": item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
    assert found
    return found


def checkpoint(run: Path, step: int) -> Path:
    """Returns the folder of a run's checkpoint."""
    return run / "checkpoints" / f"{step:08d}"


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], atol: float = 0.0) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=atol, err_msg=name)
