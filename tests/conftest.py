"""Every test runs on one thread, with no screen and a random state of its own."""

import os

# before torch: two workers on two cores must not fight for them
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import random

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# A shared machine is slow now and then, and a failure must come again when the test is run again.
settings.register_profile("genzoo", deadline=None, derandomize=True, database=None)
settings.load_profile("genzoo")


@pytest.fixture(autouse=True)
def seed():
    """The same numbers whichever tests ran before, and none of them left behind."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        yield
    random.setstate(python)
    np.random.set_state(numpy)


@pytest.fixture
def few_levels(monkeypatch):
    """Energy models are validated by annealings of few levels.

    Their usual ones take seconds, and choose weights that the tests here do not look at.
    """
    path = "genzoo.families.energy.Energy.quick_budget"
    monkeypatch.setattr(path, lambda model, problems: (10, 10))


@pytest.fixture
def undrawn(monkeypatch):
    """Comparisons draw no pictures, which would take most of the time of a small one."""
    monkeypatch.setattr("genzoo.benchmark.comparison.gallery", lambda *_: [])


def pytest_collection_modifyitems(items):
    """Begin with the longest, so that no worker sits idle while another one finishes it."""
    items.sort(key=seconds, reverse=True)


def seconds(item) -> float:
    """About how long a test takes, where its mark says so."""
    slow = item.get_closest_marker("slow")
    return 0 if slow is None else slow.kwargs.get("seconds", 10)
