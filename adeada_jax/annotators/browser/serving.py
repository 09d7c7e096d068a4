"""Serves the page for a run's directory: one server per run, on the local machine by default."""

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import ssl
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from adeada_jax.annotators import desk
from adeada_jax.annotators.browser.application import application
from adeada_jax.annotators.browser.identities import Invited, Named
from adeada_jax.annotators.browser.work import Work
from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.files import read_json
from adeada_jax.telemetry import say

_LOCK, _PEOPLE = ".annotate.lock", "people.json"
_OWN = ["127.0.0.1", "localhost", "[::1]"]


@dataclass(frozen=True)
class Place:
    """Where the page is served.

    Attributes:
      host, port: to listen on.
      cert, key: files of a TLS certificate and of its private key; the key may be in the certificate's.
      people: to whom new links are given, where others than this machine can reach the page.
      opens: whether a browser is opened.
    """

    host: str = "127.0.0.1"
    port: int = 8008
    cert: str | None = None
    key: str | None = None
    people: Sequence[str] = ()
    opens: bool = False

    @property
    def is_own(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def serve(workdir: str | Path, place: Place) -> None:
    """Serves the page until Ctrl-C.

    Raises:
      InputError: the directory is no run's whose labels people give, another server is at it, the port is
        taken, or the certificate cannot be used.
    """
    root = Path(workdir)
    share = _second_opinions(root)
    _check_certificate(place)
    with _alone(root), _listening(place) as listener:
        identities = _identities(root, place)
        port = listener.getsockname()[1]
        link = f"{'https' if place.cert else 'http'}://{_shown(place.host)}:{port}/"
        _announce(link, identities, place)
        server = application(Work(root, share), identities, [*_OWN, place.host] if place.is_own else ["*"])
        if place.opens:
            webbrowser.open_new_tab(link)
        config = uvicorn.Config(
            server,
            log_level="warning",
            access_log=False,
            ssl_certfile=place.cert,
            ssl_keyfile=place.key,
            timeout_graceful_shutdown=3,
            server_header=False,
            lifespan="off",
        )
        uvicorn.Server(config).run(sockets=[listener])


def _second_opinions(root: Path) -> float:
    """The share of regions that go to two people, as the run says.

    Raises:
      InputError: the run's labels are not given by people.
    """
    desk.request_paths(root)
    config = read_json(root / "config.json")
    kind, sampled = config["oracle"]["kind"], config["evaluation"]["kind"] == "sample"
    if kind != "people" and not sampled:
        raise InputError(
            f"--workdir: the run in '{root}' asks nobody for labels: oracle.kind is {kind!r}; start one "
            "with --config.oracle.kind=people"
        )
    return config["oracle"].get("second_opinions", paper_defaults().oracle.second_opinions)


def _check_certificate(place: Place) -> None:
    """Raises InputError if the certificate cannot be used."""
    if place.cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(place.cert, place.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"--cert, --key: '{place.cert}' cannot be used: {error.strerror or error}"
        ) from error


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keeps a second server off the run; the lock goes with the process.

    Raises:
      InputError: there is one, or the directory cannot be written.
    """
    try:
        lock = open(root / _LOCK, "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"--workdir: '{root}' cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            process = lock.read().strip() or "unknown"
            raise InputError(
                f"--workdir: another server already serves '{root}' (process {process}); use its page, "
                "or stop it"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def _listening(place: Place) -> Iterator[socket.socket]:
    """A socket that listens.

    Raises:
      InputError: the port is taken or may not be used, or the host is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((place.host, place.port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            words = f"port {place.port} is taken; give another with --port, 0 for any that is free"
        elif number == errno.EACCES:
            words = f"port {place.port} needs administrator rights; give one of 1024 or above with --port"
        else:
            words = f"{getattr(error, 'strerror', None) or error}"
        raise InputError(f"--host={place.host} --port={place.port}: {words}") from error
    with listener:
        yield listener


def _identities(root: Path, place: Place) -> Named | Invited:
    """Who may use the page.

    Raises:
      InputError: people are named where names are typed, or none is known where links are needed.
    """
    if place.is_own:
        if place.people:
            raise InputError("--people needs a page that others can reach: give --host, too")
        return Named()
    return Invited(root / _PEOPLE)


def _announce(link: str, identities: Named | Invited, place: Place) -> None:
    """Prints where the page is; new links are shown only once.

    Raises:
      InputError: nobody has a link.
    """
    if isinstance(identities, Named):
        say(f"the labelling page is at {link} - Ctrl-C ends it, nothing is lost")
        return
    tokens = identities.invite(place.people)
    if not identities.names:
        raise InputError("--host: others can reach this page, so each person needs a link: --people=ann,bob")
    if not place.cert:
        say("without --cert, links, images and answers cross the network unencrypted")
    for name, token in tokens.items():
        say(f"for {name}, shown only now:  {link}#token={token}")
    others = [name for name in identities.names if name not in tokens]
    if others:
        say(f"the links of {', '.join(others)} stay valid")
    say(f"the labelling page is at {link} - Ctrl-C ends it, nothing is lost")


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else socket.gethostname() if host in ("0.0.0.0", "") else host
