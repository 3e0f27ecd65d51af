"""People at a terminal: bare newlines, one byte at a time, and what netcat makes of it."""

import socket
import subprocess

from checks import ADDRESSES, check, equal, main

HOST, PORT = ADDRESSES[0]


class Terminal:
    """A connection on which every byte is sent by itself."""

    def __init__(self):
        self.socket = socket.create_connection((HOST, PORT), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def type(self, text):
        for byte in text.encode():
            self.socket.send(bytes([byte]))

    def read(self, lines=1):
        return [self.reader.readline().decode() for _ in range(lines)]


def netcat(text):
    """What `printf text | nc` shows. The text must end in quit, which ends the conversation."""
    result = subprocess.run(["nc", HOST, str(PORT)], input=text.encode(), stdout=subprocess.PIPE,
                            timeout=10, check=True)
    return result.stdout.decode()


@check
def a_session_typed_byte_by_byte():
    terminal = Terminal()
    terminal.type("set greeting 5 0 5\r\nhello\r\n")
    equal(terminal.read(), ["STORED\r\n"])
    terminal.type("get greeting\r\n")
    equal(terminal.read(3), ["VALUE greeting 5 5\r\n", "hello\r\n", "END\r\n"])
    terminal.type("delete greeting\r\n")
    equal(terminal.read(), ["DELETED\r\n"])
    terminal.type("get greeting\r\n")
    equal(terminal.read(), ["END\r\n"])


@check
def bare_newlines_end_lines():
    terminal = Terminal()
    terminal.type("set key 0 0 2\n10\r\n")
    equal(terminal.read(), ["STORED\r\n"])
    terminal.type("incr key 5\n")
    equal(terminal.read(), ["15\r\n"])
    terminal.type("get key\n")
    equal(terminal.read(3), ["VALUE key 0 2\r\n", "15\r\n", "END\r\n"])
    terminal.type("touch key 100\n")
    equal(terminal.read(), ["TOUCHED\r\n"])


@check
def mistakes_are_answered_and_the_session_goes_on():
    terminal = Terminal()
    terminal.type("hello\r\n")
    equal(terminal.read(), ["ERROR\r\n"])
    terminal.type("set key 0 0 many\r\n")
    equal(terminal.read(), ["CLIENT_ERROR bad command line format\r\n"])
    terminal.type("set key 0 0 3\r\nabcdefgh\r\n")  # five are used up, the rest is no command
    equal(terminal.read(2), ["CLIENT_ERROR bad data chunk\r\n", "ERROR\r\n"])
    terminal.type("version\r\n")
    assert terminal.read()[0].startswith("VERSION 1.6.")


@check
def quit_hangs_up():
    terminal = Terminal()
    terminal.type("quit\r\n")
    equal(terminal.reader.read(), b"")


@check
def statistics_can_be_read():
    terminal = Terminal()
    terminal.type("stats\r\n")
    lines = []
    while not lines or lines[-1] != "END\r\n":
        lines += terminal.read()
    assert len(lines) > 40, len(lines)
    assert all(line.startswith("STAT ") and len(line.split()) == 3 for line in lines[:-1])


@check
def netcat_sets_and_gets():
    text = netcat("set key 0 60 5\r\nhello\r\nget key\r\nquit\r\n")
    equal(text, "STORED\r\nVALUE key 0 5\r\nhello\r\nEND\r\n")


@check
def netcat_pipelines_a_thousand_commands():
    commands = "".join(f"set key{n} 0 0 1\r\nx\r\nget key{n}\r\n" for n in range(1000))
    replies = "".join(f"STORED\r\nVALUE key{n} 0 1\r\nx\r\nEND\r\n" for n in range(1000))
    equal(netcat(commands + "quit\r\n"), replies)


main("telnet")
