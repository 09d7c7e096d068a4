"""Starts Python programs from a process that has imported already what they all need: 3 s less for each.

    command = [*PYTHON, "scripts/main.py", ...]     in place of [sys.executable, "scripts/main.py", ...]

`PYTHON` is this file as a program. It asks the server of this test process for a fork of itself that runs the
command with its directory, environment and streams, passes signals on to it and ends as it does; if it is
killed, so is the fork. Where the environment is one that matters to the imports themselves, and where there
is no server, the command is run as ever.

Imports nothing that takes time: it is started for each program.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PYTHON = (sys.executable, "-S", "-E", __file__)
ADDRESS = "WARM_START"  # the environment's name of the server's socket
IMPORTED = ("adeada_jax.run.main", "adeada_jax.run.dry_run", "matplotlib.backends.backend_svg")
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def server(path: str) -> Iterator[None]:
    """Serves this process's programs in the `with` block; imports for them when the first one asks."""
    if not hasattr(os, "pidfd_open"):  # not Linux: programs are started as ever
        yield
        return
    os.environ[ADDRESS] = path
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        code = "from tests.warm_start import serve; job = serve(0); job()"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=listener)
    try:
        yield
    finally:
        del os.environ[ADDRESS]
        process.kill()
        process.wait()


def serve(listening: int) -> Callable[[], None]:
    """Forks for each program that is asked for; returns what the fork is to do, in the fork alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(listening)) as listener:
        while True:
            connection = listener.accept()[0]
            if "adeada_jax" not in sys.modules:
                for name in IMPORTED:
                    __import__(name)
            if not os.fork():
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams = receive(connection)
    child = os.fork()
    if child:
        watch(connection, child)
    connection.close()
    return lambda: run(request, streams)


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """A program's request, and its standard streams."""
    text, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while not text.endswith(b"\n"):
        text += connection.recv(1 << 16)
    return json.loads(text), streams


def watch(connection: socket.socket, child: int) -> None:
    """Tells who asked the program's process id and status, and kills it when they are gone."""
    import select

    connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    ready = select.select([ended, connection], [], [])[0]
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        connection.sendall(f"{status}\n".encode())
    finally:
        os._exit(0)


def run(request: dict, streams: list[int]) -> None:
    """Is the program from here on."""
    for stream, place in zip(streams, range(3), strict=True):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(request["directory"])
    environment, (first, *rest) = request["environment"], request["arguments"]
    if any(environment.get(name) != os.environ.get(name) for name in told_at_import(environment)):
        os.execve(sys.executable, [sys.executable, first, *rest], environment)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import runpy

    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path[0] = ""
        exec(compile(rest[0], "<string>", "exec"), sys.modules["__main__"].__dict__)
    else:
        sys.argv = [first, *rest]
        sys.path[0] = os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")


def told_at_import(environment: dict[str, str]) -> set[str]:
    """Names that Python and JAX read when they are imported."""
    return {name for name in {*environment, *os.environ} if name.startswith(("JAX_", "PYTHON"))}


def ask(arguments: list[str]) -> int:
    """Has the server run a program; its status, negative for a signal."""
    request = {"arguments": arguments, "directory": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[ADDRESS])
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        with connection.makefile("r") as answers:
            child = int(answers.readline())
            for number in FORWARDED:
                signal.signal(number, lambda received, _: os.kill(child, received))
            return int(answers.readline())


if __name__ == "__main__":
    if ADDRESS not in os.environ:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    status = ask(sys.argv[1:])
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
