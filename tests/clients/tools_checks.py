"""libmemcached's command-line tools, in text and in binary mode, with and without a login."""

import os
import subprocess
import tempfile

from checks import MODE, PASSWORD, SERVERS, USERNAME, check, check_in, equal, main


def tool(name, *words, status=0, password=PASSWORD):
    options = [f"--servers={SERVERS[0]}"]
    if MODE != "text" and name != "memcping":  # with a login, memcping speaks binary anyway
        options += ["--binary"]
    if MODE == "sasl":
        options += [f"--username={USERNAME}", f"--password={password}"]
    result = subprocess.run([name, *options, *words], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=20, check=False)
    output = result.stdout.decode()
    assert result.returncode == status, f"{name} ended with {result.returncode}: {output}"
    return output


@check_in("text", "sasl")
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


@check_in("text")  # over binary libmemcached has no list of keys
def memcdump_names_every_key():
    names = {f"page-{number}" for number in range(100)}
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            with open(os.path.join(directory, name), "wb") as file:
                file.write(b"x" * (1 + 40 * len(name)))
        tool("memccp", *(os.path.join(directory, name) for name in sorted(names)))
    equal(set(tool("memcdump").split()), names)


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


@check_in("sasl")
def a_wrong_password_opens_nothing():
    for name, *words in [("memcping",), ("memccat", "key"), ("memcflush",), ("memcstat",)]:
        output = tool(name, *words, password="wrong", status=1)
        assert "AUTHENTICATION FAILURE" in output.upper(), output


main("libmemcached-tools")
