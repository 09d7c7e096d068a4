"""What a script prints may have nowhere to go; its work goes on."""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Descriptor(io.FileIO):
    """Where standard output goes; once nobody reads it any more (`| head`), nowhere."""

    def write(self, content: "Buffer", /) -> int:
        try:
            return super().write(content)
        except OSError:
            # Of the descriptor itself, so that child processes and libraries print nowhere, too.
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
            return memoryview(content).nbytes


def forgive() -> None:
    """Makes standard output and error never raise: neither when closed nor on characters they cannot show.

    What the terminal's encoding lacks, such as a file name that is no UTF-8, is shown with backslashes.
    """
    for number in range(3):  # A closed one's number would be given to the next file that is opened.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            raw = _Descriptor(stream.fileno(), "w", closefd=False)
            how = {"encoding": stream.encoding, "line_buffering": stream.line_buffering}
            at_once = stream.write_through
        except (AttributeError, OSError, ValueError):  # None, or no file: a notebook, a test
            continue
        stream.flush()
        buffer = raw if at_once else io.BufferedWriter(raw)
        setattr(sys, name, io.TextIOWrapper(buffer, errors="backslashreplace", write_through=at_once, **how))
