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


# --- reread when they change --------------------------------------------------------------------


class Mount:
    """A volume as kubelet makes it: names that lead through ..data, which it swaps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "file"
        self.file.symlink_to("..data/file")
        self.now = 0.0
        self.reports: list[str] = []
        self.reads = 0
        self.put("v1", "first")

    def put(self, version: str, content: str) -> None:
        (self.folder / version).mkdir()
        (self.folder / version / "file").write_text(content)
        os.utime(self.folder / version / "file", (0, 0))
        (self.folder / "..data_tmp").symlink_to(version)
        (self.folder / "..data_tmp").replace(self.folder / "..data")

    def reread(self) -> files.Reread[str]:
        def make() -> str:
            self.reads += 1
            text = files.read(self.file).decode()
            if text == "revoked":
                raise RuntimeError(text)
            if text.startswith("broken"):
                raise ValueError(text)
            return text

        return files.Reread(
            [self.file], make, report=lambda e: self.reports.append(str(e)), clock=self.later
        )

    def later(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


def test_kubelets_swap_is_seen(mount: Mount) -> None:
    """Of the same size and time of change; what has not changed is not read."""
    file = mount.reread()
    assert (file.get(), file.get(), mount.reads) == ("first", "first", 1)
    mount.put("v2", "other")
    assert (file.get(), file.get(), mount.reads) == ("other", "other", 2)
    mount.file.resolve().write_text("in place")
    assert file.get() == "in place"


def test_files_are_looked_at_no_more_than_once_a_second(mount: Mount) -> None:
    """A check or a connection costs no stat calls."""
    file = mount.reread()
    assert file.get() == "first"
    mount.put("v2", "other")
    file._clock = lambda: mount.now + 0.9
    assert file.get() == "first"
    file._clock = lambda: mount.now + 1.0
    assert file.get() == "other"


def test_what_was_good_stays_and_each_problem_is_reported_once(mount: Mount) -> None:
    """Nonsense is read once, what cannot be read is tried again: it may be back unchanged."""
    file = mount.reread()
    file.get()
    mount.put("v2", "broken a")
    assert [file.get() for _ in range(3)] == ["first"] * 3
    assert (mount.reads, mount.reports) == (2, ["broken a"])
    mount.put("v3", "broken b")
    assert [file.get() for _ in range(3)] == ["first"] * 3
    mount.put("v4", "fourth")
    assert file.get() == "fourth"
    (mount.folder / "..data").rename(mount.folder / "away")
    assert [file.get() for _ in range(3)] == ["fourth"] * 3
    reads = mount.reads
    (mount.folder / "away").rename(mount.folder / "..data")
    assert file.get() == "fourth"
    assert (mount.reads, mount.reports[:2], len(mount.reports)) == (
        reads + 1,
        ["broken a", "broken b"],
        3,
    )


def test_without_a_good_one_each_look_says_why(mount: Mount) -> None:
    """And reports nothing: who asks is told."""
    mount.put("v2", "broken")
    file = mount.reread()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            file.get()
    mount.file.unlink()
    with pytest.raises(FileNotFoundError):
        file.get()
    assert mount.reports == []


def test_what_must_not_be_used_any_more_is_dropped(mount: Mount) -> None:
    """By any other exception; the next good one counts again."""
    file = mount.reread()
    file.get()
    mount.put("v2", "revoked")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="revoked"):
            file.get()
    mount.put("v3", "third")
    assert file.get() == "third"
