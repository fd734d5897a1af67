"""For every test: simulators that are soon built, since each simulates little."""

import os

import numpy as np
import pytest

from scin.flow.effort import VARIABLE, Effort

os.environ.setdefault(VARIABLE, Effort.QUICK)


@pytest.fixture
def ranks(tmp_path):
    """A folder with an FP16 tensor of each of two ranks, and the tensors."""
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal((6, 10)).astype(np.float16) for _ in range(2)]
    for index, array in enumerate(arrays):
        np.save(tmp_path / f"rank{index}.npy", array)
    return tmp_path, arrays
