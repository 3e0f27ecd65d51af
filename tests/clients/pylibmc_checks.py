"""pylibmc: libmemcached under Python, in text and in binary mode, with and without a login."""

import pylibmc
from checks import (MODE, PASSWORD, SERVERS, USERNAME, check, check_in, equal, eventually, main)

BEHAVIORS = {"cas": True, "tcp_nodelay": True, "ketama": True}


def client(servers=SERVERS[:1], username=USERNAME, password=PASSWORD, **behaviors):
    login = {"username": username, "password": password} if MODE == "sasl" else {}
    return pylibmc.Client(servers, binary=MODE != "text", behaviors={**BEHAVIORS, **behaviors},
                          **login)


@check
def a_value_comes_back():
    c = client()
    equal(c.set("key", "value"), True)
    equal(c.get("key"), "value")
    equal(c.get("nothing"), None)
    equal(c.get("nothing", "default"), "default")


@check
def types_come_back():
    c = client()
    for value in [True, 17, 2**70, 1.5, b"\x00\r\n\xff", "ünïcode", [1, {"a": (2, None)}]]:
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
    try:
        equal(c.replace("key", 1), False)
    except pylibmc.NotFound:  # over binary the answer tells more
        equal(MODE == "text", False)
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


@check
def counters_count():
    c = client()
    c.set("key", 10)
    equal(c.incr("key", 5), 15)
    equal(c.decr("key"), 14)
    equal(c.get("key"), 14)
    try:
        c.incr("nothing")
    except pylibmc.NotFound:
        return
    raise AssertionError("a counter out of nothing")


@check
def append_and_prepend_extend():
    c = client()
    c.set("key", "b")
    equal(c.append("key", "c"), True)
    equal(c.prepend("key", "a"), True)
    equal(c.get("key"), "abc")


@check
def touch_gives_time():
    c = client()
    equal(c.touch("key", 100), False)
    c.set("key", "x", time=1000)
    equal(c.touch("key", 2000), True)
    equal(c.get("key"), "x")


@check
def delete_removes():
    c = client()
    equal(c.delete("key"), False)
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
    c = client()
    value = bytes(n % 251 for n in range(1000 << 10))
    c.set("key", value)
    assert c.get("key") == value
    c.set("key", "text " * 100_000, min_compress_len=1000)
    equal(c.get("key"), "text " * 100_000)


@check
def a_value_too_large_is_refused_and_the_connection_goes_on():
    c = client()
    try:
        stored = c.set("key", b"x" * (1100 << 10))
    except pylibmc.Error:
        stored = False
    equal(stored, False)
    equal(c.set("key", "small"), True)
    equal(c.get("key"), "small")


@check
def noreply_does_all_the_same():
    quiet = client(_noreply=True)
    for n in range(300):
        quiet.set(f"key{n}", n)
    c = client()
    eventually(lambda: c.get("key299") == 299, "the last key is there")
    equal(len(c.get_multi([f"key{n}" for n in range(300)])), 300)


@check
def flush_all_forgets():
    c = client(SERVERS)
    c.set_multi({f"key{n}": n for n in range(100)})
    equal(c.flush_all(), True)
    equal(c.get_multi([f"key{n}" for n in range(100)]), {})


@check
def statistics_can_be_read():
    c = client(SERVERS)
    stats = c.get_stats()
    equal(len(stats), 3)
    for _, numbers in stats:
        assert int(numbers["limit_maxbytes"]) > 0
        assert numbers["version"].startswith(b"1.6."), numbers["version"]


@check_in("sasl")
def a_wrong_password_opens_nothing():
    client().set("key", "x")
    for username, password in [(USERNAME, "wrong"), ("owl", PASSWORD), (USERNAME, "")]:
        try:
            client(username=username, password=password).get("key")
        except pylibmc.Error:
            continue
        raise AssertionError(f"{username} and {password!r} were let in")
    equal(client().get("key"), "x")


main("pylibmc")
