"""A list of named checks, run one after the other against freshly flushed servers.

A check is a function whose name is a sentence. It fails by raising. One line is printed for each:
`ok <client>, <mode>: <name>` or `FAILED <client>, <mode>: <name>: <why>`; the exit status tells
whether all passed.
"""

import os
import socket
import struct
import sys
import time
import traceback

# All set by `run`, which also says what modes there are; addresses are host:port.
MODE = os.environ["MODE"]
USERNAME, PASSWORD = os.environ["USERNAME"], os.environ["PASSWORD"]
SERVERS = os.environ["SERVERS"].split(",")
ADDRESSES = [(host, int(port)) for host, port in (server.rsplit(":", 1) for server in SERVERS)]

_checks = []


def check(function):
    """Decorator: makes a function one of this script's checks."""
    _checks.append(function)
    return function


def check_in(*modes):
    """Decorator: a check of only some modes."""
    return check if MODE in modes else lambda function: function


def main(client):
    failures = 0
    for function in _checks:
        name = f"{client}, {MODE}: {function.__name__.replace('_', ' ')}"
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
    """Empties the servers, without any client's help."""
    for address in ADDRESSES:
        with socket.create_connection(address, timeout=10) as connection:
            if MODE == "sasl":
                binary(connection, 0x21, b"PLAIN", f"\0{USERNAME}\0{PASSWORD}".encode())
                binary(connection, 0x08)
                continue
            if MODE == "login":
                token = f"{USERNAME} {PASSWORD}"
                line(connection, f"set login 0 0 {len(token)}\r\n{token}\r\n", "STORED\r\n")
            line(connection, "flush_all\r\n", "OK\r\n")


def line(connection, request, reply):
    connection.sendall(request.encode())
    equal(connection.recv(100).decode(), reply)


def binary(connection, opcode, key=b"", value=b""):
    """A request of the binary protocol that has to succeed."""
    sizes = len(key), 0, 0, 0, len(key) + len(value), 0, 0
    connection.sendall(struct.pack(">BBHBBHIIQ", 0x80, opcode, *sizes) + key + value)
    reply = connection.recv(1000)
    equal(int.from_bytes(reply[6:8], "big"), 0)


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def eventually(condition, what, seconds=5):
    """Waits for something that only the clock brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not after {seconds} s: {what}"
        time.sleep(0.05)
