"""Files that a variable names: whatever is there, nothing hangs and nothing is read without end."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from kubenurse_otel import files


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    """Through symbolic links, too, as Kubernetes mounts ConfigMaps."""
    file, link = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"x" * 100)
    link.symlink_to(file)
    assert files.read(link, longest=100) == b"x" * 100
    files.require([link, tmp_path / "missing"])


def test_a_longer_file_is_refused(tmp_path: Path) -> None:
    """By its bound, before more than that is in memory."""
    file = tmp_path / "a"
    file.write_bytes(b"x" * 101)
    with pytest.raises(OSError, match="is longer than 100 bytes") as refused:
        files.read(file, longest=100)
    assert refused.value.errno == errno.EFBIG
    with file.open("wb") as sparse:
        sparse.truncate(files.MAX_BYTES + 1)
    with pytest.raises(OSError, match="is longer than"):
        files.require([file])


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/tty", "/dev/stdin", "/proc/self/fd", "fifo"])
def test_what_is_no_regular_file_is_refused(name: str, fifo: Path) -> None:
    """A device without end and a pipe that nobody writes to, at once."""
    path = fifo if name == "fifo" else Path(name)
    with pytest.raises(OSError):  # noqa: PT011 - of any kind: no terminal is ENXIO, a folder EISDIR
        files.read(path)
    assert not files.is_readable(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if path.exists():
        with pytest.raises(OSError, match="no regular file"):
            files.require([path])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 65_536


@pytest.mark.parametrize("path", [Path("a\0b"), Path("x" * 5000)])
def test_a_name_that_none_can_have_is_an_error_of_the_system(path: Path) -> None:
    """And no other exception than OSError."""
    with pytest.raises(OSError):  # noqa: PT011 - see above
        files.read(path)
    assert not files.is_readable(path)
    files.require([path])
