"""libmemcached's command-line tools, in text mode."""

import os
import subprocess
import tempfile

from checks import SERVERS, check, equal, main

OPTION = f"--servers={SERVERS[0]}"


def tool(name, *words, status=0):
    result = subprocess.run([name, OPTION, *words], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=20, check=False)
    output = result.stdout.decode()
    assert result.returncode == status, f"{name} ended with {result.returncode}: {output}"
    return output


@check
def memcping_reaches_the_server():
    tool("memcping")


@check
def files_go_in_and_come_out():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "page")
        with open(path, "wb") as file:
            file.write(b"some text" * 1000)
        tool("memccp", path)
    equal(tool("memccat", "page").strip(), "some text" * 1000)
    tool("memcexist", "page")
    tool("memctouch", "--expire=1000", "page")
    tool("memcrm", "page")
    tool("memcexist", "page", status=1)


@check
def memcstat_reads_statistics():
    output = tool("memcstat")
    for name in ["pid", "uptime", "curr_items", "limit_maxbytes", "threads"]:
        assert f"{name}:" in output, output


@check
def memcflush_forgets():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
        file.flush()
        tool("memccp", file.name)
        key = os.path.basename(file.name)
        tool("memcexist", key)
        tool("memcflush")
        tool("memcexist", key, status=1)


main("libmemcached-tools")
