"""memcached-tool, the Perl script that comes with memcached."""

import re
import socket
import subprocess

from checks import ADDRESSES, SERVERS, check, equal, main

TOOL = "/usr/share/memcached/scripts/memcached-tool"
ITEMS = {f"user:{number}": "x" * (number * 37) for number in range(200)}


def tool(*words):
    result = subprocess.run(["perl", TOOL, SERVERS[0], *words], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=20, check=True)
    return result.stdout.decode()


def rows(*words):
    """Names and values, without the head of the table."""
    return dict(line.split(None, 1) for line in tool(*words).splitlines()[1:])


def store_items():
    lines = [f"set {key} 5 1000 {len(value)} noreply\r\n{value}\r\n"
             for key, value in ITEMS.items()]
    with socket.create_connection(ADDRESSES[0]) as connection:
        connection.sendall("".join(lines).encode() + b"mn\r\n")
        equal(connection.recv(100), b"MN\r\n")


@check
def display_counts_the_items_of_each_class():
    store_items()
    lines = [line.split() for line in tool("display").splitlines()]
    equal(lines[0][:5], ["#", "Item_Size", "Max_age", "Pages", "Count"])
    equal(sum(int(words[4]) for words in lines[1:]), len(ITEMS))
    assert all(int(words[3]) >= 1 for words in lines[1:]), lines


@check
def stats_are_a_table():
    store_items()
    table = rows("stats")
    equal(table["curr_items"], str(len(ITEMS)))
    assert int(table["limit_maxbytes"]) == 64 << 20, table


@check
def settings_are_a_table():
    table = rows("settings")
    equal((table["maxbytes"], table["dump_enabled"]), (str(64 << 20), "yes"))


@check
def dump_writes_commands_that_bring_every_item_back():
    store_items()
    dumped = tool("dump")
    found = re.findall(r"^add (\S+) 5 (\d+) (\d+)\r\n(x*)\r$", dumped, re.MULTILINE)
    equal({key: value for key, _, _, value in found}, ITEMS)
    assert all(int(length) == len(value) for _, _, length, value in found)


@check
def keys_are_listed_with_what_is_known_of_them():
    store_items()
    lines = tool("keys").splitlines()
    names = [re.match(r"key=user%3A(\d+) exp=\d+ la=\d+ cas=\d+ fetch=no cls=\d+ size=\d+",
                      line).group(1) for line in lines]
    equal(sorted(map(int, names)), list(range(len(ITEMS))))
    equal(len(tool("keys", "10").splitlines()), 9)  # it counts the OK as one


@check
def sizes_add_up():
    store_items()
    table = rows("sizes")
    equal(sum(map(int, table.values())), len(ITEMS))
    assert all(int(size) % 32 == 0 for size in table), table


main("memcached-tool")
