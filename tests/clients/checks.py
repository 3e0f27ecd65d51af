"""A list of named checks, run one after the other against freshly flushed servers.

A check is a function whose name is a sentence. It fails by raising. One line is printed for each:
`ok <client>: <name>` or `FAILED <client>: <name>: <why>`; the exit status tells whether all passed.
"""

import os
import socket
import sys
import time
import traceback

# Addresses as host:port; set by `run`.
SERVERS = os.environ["SERVERS"].split(",")
ADDRESSES = [(host, int(port)) for host, port in (server.rsplit(":", 1) for server in SERVERS)]

_checks = []


def check(function):
    """Decorator: makes a function one of this script's checks."""
    _checks.append(function)
    return function


def main(client):
    failures = 0
    for function in _checks:
        name = f"{client}: {function.__name__.replace('_', ' ')}"
        try:
            flush()
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:
            failures += 1
            place = traceback.extract_tb(error.__traceback__)[-1].lineno
            why = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAILED {name}: {why} (line {place})", flush=True)
    sys.exit(1 if failures else 0)


def flush():
    for address in ADDRESSES:
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"flush_all\r\n")
            assert connection.recv(100) == b"OK\r\n"


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def eventually(condition, what, seconds=5):
    """Waits for something that only the clock brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not after {seconds} s: {what}"
        time.sleep(0.05)
