"""What every test gets: checked annotations, a fixed seed, and the recorded tensors of the papers' released operators."""

import os
from pathlib import Path

import jaxtyping

# Before any test imports the package: from here on each call checks the shapes and types its annotations promise.
jaxtyping.install_import_hook("exemplar_lab", "beartype.beartype")

import hypothesis  # noqa: E402
import numpy  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

# The same examples on every machine, and no time limit per example: two busy cores are no failure.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(config, items):
    """The tests that drive a browser run only where `-m` speaks of it: whatever else is chosen, `make test` goes without."""
    if "browser" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("browser")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("browser")]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def unchecked(monkeypatch):
    """Without the check of annotations, as users run the package: for the messages that wrong input gets there."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def parity():
    """`parity(name)` gives the arrays of tests/parity/NAME.npz as torch tensors, by name.

    What several recordings have in common lies once, in the file named by the words that they begin with.
    """

    def load(name: str) -> dict[str, torch.Tensor]:
        words, arrays = name.split("_"), {}
        for count in range(1, len(words) + 1):
            path = Path(__file__).parent / "parity" / f"{'_'.join(words[:count])}.npz"
            if path.is_file() or count == len(words):
                with numpy.load(path) as stored:
                    arrays |= {key: torch.from_numpy(stored[key]) for key in stored.files}
        return arrays

    return load
