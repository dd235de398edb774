"""Files that a variable names: regular ones, read whole within a bound, and again when they change.

Whoever configures the agent may name a device without end or a pipe that nobody writes to: no read
waits. Owns no path and no format.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

T = TypeVar("T")

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of a file where its reader sets no bound: a system's whole CA bundle is 0.2 MB."""


def read(path: Path, *, longest: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file (symbolic links are followed) of ``longest`` bytes.

    Raises OSError: what the kernel says, EINVAL for what is no regular file, EFBIG for a longer
    one. A name with a NUL byte is a ValueError in Python, and ENOENT here.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
    with open(number, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        content = file.read(longest + 1)
    if len(content) > longest:
        raise OSError(errno.EFBIG, f"is longer than {longest} bytes", str(path))
    return content


def require(paths: Iterable[Path]) -> None:
    """Raise OSError for each of ``paths`` that a library must not be given: what is there and is
    no regular file, or a longer one than MAX_BYTES. A missing file is the library's to report.
    """
    for path in paths:
        try:
            status = path.stat()
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if status.st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"is longer than {MAX_BYTES} bytes", str(path))


def is_readable(path: Path) -> bool:
    """Whether ``path`` is a regular file that we may open, as ``read`` does."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # A name that is too long, or a directory we may not look into.
        return False


def is_there(path: Path) -> bool:
    return _signature((path,)) != (None,)


_Signature = tuple[tuple[int, int, int, int] | None, ...]


def _signature(paths: Iterable[Path]) -> _Signature:
    """Of each file device, inode, time of change (ns) and size; None where there is none.

    Kubelet's swap of ``..data`` (a ConfigMap's, Secret's or token's symbolic link) is a new inode.
    """
    signature: list[tuple[int, int, int, int] | None] = []
    for path in paths:
        try:
            found = path.stat()
        except (OSError, ValueError):
            signature.append(None)
        else:
            signature.append((found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))
    return tuple(signature)


class Reread(Generic[T]):
    """What ``make`` made of files, made again when one of them has changed.

    Files that cannot be read (OSError) or hold nonsense (ValueError) leave what was there before:
    ``report`` is called once for each such problem, and what cannot be read is tried again.
    Whatever else ``make`` raises means that the one before must not be used.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        make: Callable[[], T],
        *,
        report: Callable[[OSError | ValueError], None],
        every_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = tuple(paths)
        self._make = make
        self._report = report
        self._every_seconds = every_seconds
        self._clock = clock
        self._looked_at = float("-inf")
        self._read: _Signature | None = None
        """Of the files whose content ``make`` has seen last, good or not."""
        self._reported: tuple[_Signature, str] | None = None
        self.value: T | None = None

    def get(self) -> T:
        """The value, after a look at the files if the last one is ``every_seconds`` ago.

        Raises what ``make`` raises while there is no value.
        """
        now = self._clock()
        if self.value is not None and now - self._looked_at < self._every_seconds:
            return self.value
        self._looked_at = now
        signature = _signature(self._paths)
        if self.value is not None and signature == self._read:
            return self.value
        try:
            require(self._paths)
            self.value = self._make()
        except (OSError, ValueError) as error:
            if self.value is None:
                raise
            self._read = None if isinstance(error, OSError) else signature
            if self._reported != (signature, str(error)):
                self._reported = signature, str(error)
                self._report(error)
        except BaseException:
            self.value = None
            raise
        else:
            self._read, self._reported = signature, None
        return self.value
