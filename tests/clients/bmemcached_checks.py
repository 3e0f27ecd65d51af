"""python-binary-memcached: speaks binary and nothing else, with and without a login."""

import bmemcached
from bmemcached.exceptions import MemcachedException
from checks import (MODE, PASSWORD, SERVERS, USERNAME, check, check_in, equal, eventually, main)


def client(servers=SERVERS[:1], username=USERNAME, password=PASSWORD, **options):
    login = (username, password) if MODE == "sasl" else ()
    return bmemcached.DistributedClient(servers, *login, socket_timeout=10, **options)


@check
def a_value_comes_back():
    c = client()
    equal(c.set("key", "value"), True)
    equal(c.get("key"), "value")
    equal(c.get("nothing"), None)


@check
def types_come_back():
    c = client()
    for value in [17, 2**70, 1.5, b"\x00\r\n\xff", "ünïcode", [1, {"a": (2, None)}]]:
        c.set("key", value)
        equal(c.get("key"), value)


@check
def many_keys_at_once():
    c = client(SERVERS)
    values = {f"key{n}": n for n in range(500)}
    equal(c.set_multi(values), [])
    equal(c.get_multi([*values, "nothing"]), values)
    equal(c.delete_multi(list(values)), True)
    equal(c.get_multi(list(values)), {})


@check
def add_and_replace_look_first():
    c = client()
    equal(c.replace("key", 1), False)
    equal(c.add("key", 2), True)
    equal(c.add("key", 3), False)
    equal(c.replace("key", 4), True)
    equal(c.get("key"), 4)


@check
def cas_lets_one_writer_win():
    c = client()
    c.set("key", "old")
    value, cas = c.gets("key")
    equal(value, "old")
    equal(c.cas("key", "new", cas), True)
    equal(c.cas("key", "late", cas), False)
    equal(c.get("key"), "new")
    equal(c.delete("key", cas), False)
    equal(c.get("key"), "new")


@check
def a_write_tells_its_cas():
    c = client()
    stored, first = c.set("key", "one", get_cas=True)
    equal(stored, True)
    equal(c.gets("key"), ("one", first))
    stored, second = c.cas("key", "two", first, get_cas=True)
    equal(stored, True)
    equal(c.gets("key"), ("two", second))


@check
def counters_count():
    c = client()
    equal(c.incr("key", 5, default=10), 10)
    equal(c.incr("key", 5), 15)
    equal(c.decr("key", 1), 14)
    equal(c.decr("key", 100), 0)
    c.set("key", "word")
    try:
        c.incr("key", 1)
    except MemcachedException:
        return
    raise AssertionError("arithmetic on a word")


@check
def delete_removes():
    c = client()
    c.set("key", "x")
    equal(c.delete("key"), True)
    equal(c.get("key"), None)


@check
def values_expire():
    c = client()
    c.set("soon", "x", time=1)
    c.set("later", "x", time=1000)
    eventually(lambda: c.get("soon") is None, "soon has expired")
    equal(c.get("later"), "x")


@check
def large_values_come_back():
    c = client(raw_data=True)
    value = bytes(n % 251 for n in range(1000 << 10))
    equal(c.set("key", value), True)
    assert c.get("key") == value
    c = client()
    c.set("key", "text " * 100_000, compress_level=9)
    equal(c.get("key"), "text " * 100_000)


@check
def a_value_too_large_is_refused_and_the_connection_goes_on():
    c = client(raw_data=True)
    try:
        stored = c.set("key", b"x" * (1100 << 10))
    except MemcachedException:
        stored = False
    equal(stored, False)
    equal(c.set("key", b"small"), True)
    equal(c.get("key"), b"small")


@check
def flush_all_forgets():
    c = client(SERVERS)
    c.set_multi({f"key{n}": n for n in range(100)})
    equal(c.flush_all(), True)
    equal(c.get_multi([f"key{n}" for n in range(100)]), {})


@check
def statistics_can_be_read():
    stats = client(SERVERS).stats()
    equal(sorted(stats), sorted(SERVERS))
    for numbers in stats.values():
        assert int(numbers["limit_maxbytes"]) > 0
        assert numbers["version"].startswith(b"1.6."), numbers["version"]


@check_in("sasl")
def a_wrong_password_opens_nothing():
    client().set("key", "x")
    for username, password in [(USERNAME, "wrong"), ("owl", PASSWORD)]:
        try:
            client(username=username, password=password).get("key")
        except MemcachedException as error:
            equal(error.code, 0x20)
            continue
        raise AssertionError(f"{username} and {password!r} were let in")
    equal(client().get("key"), "x")


main("python-binary-memcached")
