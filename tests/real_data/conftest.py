"""Where real data lies: skipped by who has none, required where the environment says so."""

import os
import pathlib

import pytest


def _folder(variable):
    value = os.environ.get(variable)
    if value:
        return pathlib.Path(value)
    if os.environ.get("BACKPROP_REQUIRE_REAL_DATA"):
        pytest.fail(f"{variable} is not set, and BACKPROP_REQUIRE_REAL_DATA is")
    pytest.skip(f"{variable} is not set: a folder with the data")


@pytest.fixture(scope="session")
def cifar10():
    return _folder("BACKPROP_CIFAR10")


@pytest.fixture(scope="session")
def fashion_mnist():
    return _folder("BACKPROP_FASHION_MNIST")
