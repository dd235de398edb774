"""These build an image and need root, debootstrap, buildah and runc: `make image` asks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from image import building

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "KUBENURSE_TEST_IMAGE" in os.environ:
        return
    skip = pytest.mark.skip(reason="only by `make image`")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def image() -> str:
    return building.build("test")


@pytest.fixture(scope="session")
def root(image: str) -> Iterator[Path]:
    """The image's root file system, mounted."""
    with building.mounted(image) as path:
        yield path
