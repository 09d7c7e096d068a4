"""Files of a git repository's newest commit, read from its objects: no work tree is needed."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from adeada_jax.errors import InputError


def listed(repository: Path, flag: str) -> dict[str, str]:
    """The names of all files of the newest commit, and their objects' names.

    Args:
      repository: a clone, or a git directory without a work tree.
      flag: that gave it, for errors.

    Raises:
      InputError: git is not installed, or this is no repository with a commit.
    """
    command = ["git", "-C", str(repository), "ls-tree", "-r", "-z", "--full-tree", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError as error:
        raise InputError("git is not installed; install it, the repositories are read by it") from error
    except subprocess.CalledProcessError as error:
        why = (error.stderr.decode("utf-8", "replace").strip() or "no reason given").splitlines()[-1]
        raise InputError(
            f"{flag}: '{repository}' is no clone or git directory with a commit ({why}); see "
            "docs/photographs_study.md"
        ) from error
    rows = [row.split("\t", 1) for row in done.stdout.decode("utf-8", "surrogateescape").split("\0") if row]
    return {path: head.split()[2] for head, path in rows}


def contents(repository: Path, files: Iterable[tuple[str, str]], flag: str) -> Iterator[bytes]:
    """The bytes of files, in the order given.

    Args:
      repository: see `listed`.
      files: names and objects.
      flag: that gave the repository, for errors.

    Raises:
      InputError: the commit lists a file whose content is not there, as in a partial clone.
    """
    command = ["git", "-C", str(repository), "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None  # both are pipes
        assert reader.stdout is not None
        for path, blob in files:
            reader.stdin.write(f"{blob}\n".encode())
            reader.stdin.flush()
            head = reader.stdout.readline().split()
            if len(head) != 3:
                raise InputError(f"{flag}: '{repository}' lacks the content of '{path}'; clone it whole")
            content = reader.stdout.read(int(head[2]))
            reader.stdout.read(1)  # a line's end
            yield content
        reader.stdin.close()
