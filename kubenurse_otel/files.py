"""Files that a variable names: regular ones, read whole within a bound, never waited for.

Whoever configures the agent may name a device without end or a pipe that nobody writes to. Owns no
path and no format.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
