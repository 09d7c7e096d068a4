"""Serving the page from the command line: where, for whom, and what stands in the way."""

import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(request_of_people):
    """A run's directory."""
    root = request_of_people.path.parents[3]
    config = {"oracle": {"kind": "people", "second_opinions": 0.1}, "evaluation": {"kind": "labels"}}
    (root / "config.json").write_text(json.dumps(config))
    return root


@contextlib.contextmanager
def serving(run, *flags):
    """A server, with what it printed until it was ready."""
    command = [sys.executable, "scripts/annotate.py", f"--workdir={run}", "--port=0", *flags]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            lines = []
            while not lines or "the labelling page is at" not in lines[-1]:
                lines.append(server.stdout.readline())
                assert lines[-1], server.stderr.read()
            yield server, "".join(lines)
            server.send_signal(signal.SIGINT)
            assert server.wait(20) in (0, 130)
        finally:
            server.kill()  # else a test that failed would wait for it


def refused(run, *flags):
    """What a server says that does not start."""
    command = [sys.executable, "scripts/annotate.py", f"--workdir={run}", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    return done.stderr


def get(link, context=None, **headers):
    request = urllib.request.Request(link, headers={key.replace("_", "-"): v for key, v in headers.items()})
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        return json.load(answer)


def test_it_serves_on_this_machine_alone_and_a_second_server_is_told_of_the_first(run, tmp_path):
    with serving(run) as (server, said):
        link = re.search(r"http://127\.0\.0\.1:(\d+)/", said)
        assert get(f"{link[0]}api/status", x_annotator="ann")["regions"] == 3
        addresses = Path(f"/proc/{server.pid}/net/tcp").read_text()
        assert f"0100007F:{int(link[1]):04X}" in addresses
        assert f"00000000:{int(link[1]):04X}" not in addresses
        assert f"process {server.pid}" in refused(run, "--port=0")
    with serving(run):
        pass  # the lock went with the process


def test_a_port_that_is_taken_and_a_host_that_is_none_are_named(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in refused(run, f"--port={port}")
    assert "--host=203.0.113.7" in refused(run, "--host=203.0.113.7")
    assert "--people needs a page that others can reach" in refused(run, "--people=ann", "--port=0")
    assert "each person needs a link" in refused(run, "--host=0.0.0.0", "--port=0")
    assert "--cert" in refused(run, f"--cert={run}/none.pem")


def test_a_run_that_asks_nobody_is_refused(run):
    config = {"oracle": {"kind": "ground_truth"}, "evaluation": {"kind": "labels"}}
    (run / "config.json").write_text(json.dumps(config))
    assert "oracle.kind is 'ground_truth'" in refused(run)


def test_over_a_network_everybody_has_a_link_that_stays_valid_and_tls_is_used(run, tmp_path):
    pem = tmp_path / "pem"
    made = ["-subj", "/CN=localhost", "-nodes", "-keyout", pem, "-out", pem.with_suffix(".crt")]
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *made]
    subprocess.run(openssl, check=True, capture_output=True)
    tls = (f"--cert={pem.with_suffix('.crt')}", f"--key={pem}", "--host=0.0.0.0")
    trust = ssl.create_default_context(cafile=str(pem.with_suffix(".crt")))
    with serving(run, *tls, "--people=ann,bob") as (_, said):
        tokens = dict(re.findall(r"for (\w+), shown only now: +\S+#token=(\S+)", said))
        assert tokens.keys() == {"ann", "bob"}
        assert said.count("https://") == 3
        port = re.search(r":(\d+)/$", said.splitlines()[-1].split(" - ")[0])[1]
        link = f"https://localhost:{port}/api/status"
        assert get(link, trust, authorization=f"Bearer {tokens['bob']}")["me"] == "bob"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(link, trust, x_annotator="bob")
    with serving(run, *tls) as (_, said):
        assert "#token" not in said
        port = re.search(r":(\d+)/ ", said)[1]
        link = f"https://localhost:{port}/api/status"
        assert get(link, trust, authorization=f"Bearer {tokens['ann']}")["me"] == "ann"
