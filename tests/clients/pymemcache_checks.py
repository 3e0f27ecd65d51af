"""pymemcache: what Django and many others use. Speaks text, with and without a login."""

from concurrent.futures import ThreadPoolExecutor

from checks import (ADDRESSES, MODE, PASSWORD, USERNAME, check, check_in, equal, eventually,
                    main)
from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError


class LoginClient(Client):
    """Logs in on each new connection: the library leaves that to its users."""

    token = f"{USERNAME} {PASSWORD}".encode()

    def _connect(self):
        super()._connect()
        if MODE == "login":
            self.set("login", self.token, noreply=False)


class LoginPooledClient(PooledClient):
    client_class = LoginClient


class LoginHashClient(HashClient):
    client_class = LoginClient


def client(**options):
    return LoginClient(ADDRESSES[0], timeout=10, connect_timeout=10, default_noreply=False,
                       **options)


@check
def a_value_comes_back():
    equal(client().set("key", b"value"), True)
    equal(client().get("key"), b"value")
    equal(client().get("nothing"), None)


@check
def bytes_of_all_kinds_come_back():
    value = bytes(range(256)) + b"\r\nEND\r\n"
    client().set("key", value)
    equal(client().get("key"), value)
    client().set("empty", b"")
    equal(client().get("empty"), b"")


@check
def add_and_replace_look_first():
    c = client()
    equal(c.replace("key", b"1"), False)
    equal(c.add("key", b"2"), True)
    equal(c.add("key", b"3"), False)
    equal(c.replace("key", b"4"), True)
    equal(c.get("key"), b"4")


@check
def many_keys_at_once():
    values = {f"key{n}": str(n).encode() for n in range(500)}
    c = client()
    equal(c.set_many(values), [])
    equal(c.get_many([*values, "nothing"]), values)
    equal(c.delete_many(list(values)), True)
    equal(c.get_many(list(values)), {})


@check
def cas_lets_one_writer_win():
    c = client()
    c.set("key", b"old")
    value, cas = c.gets("key")
    equal(value, b"old")
    equal(c.cas("key", b"new", cas), True)
    equal(c.cas("key", b"late", cas), False)
    equal(c.cas("nothing", b"x", cas), None)
    equal(c.get("key"), b"new")
    equal(set(c.gets_many(["key", "nothing"])), {"key"})


@check
def counters_count():
    c = client()
    c.set("key", b"10")
    equal(c.incr("key", 5), 15)
    equal(c.decr("key", 1), 14)
    equal(c.decr("key", 100), 0)
    equal(c.incr("nothing", 1), None)
    c.set("key", str(2**64 - 1).encode())
    equal(c.incr("key", 1), 0)
    c.set("key", b"word")
    try:
        c.incr("key", 1)
    except MemcacheClientError:
        return
    raise AssertionError("arithmetic on a word")


@check
def counters_lose_nothing_among_threads():
    pool = LoginPooledClient(ADDRESSES[0], timeout=10, max_pool_size=8, default_noreply=False)
    pool.set("key", b"0")
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: pool.incr("key", 1), range(2000)))
    equal(sorted(results), list(range(1, 2001)))


@check
def append_and_prepend_extend():
    c = client()
    equal(c.append("key", b"x"), False)
    c.set("key", b"b")
    equal(c.append("key", b"c"), True)
    equal(c.prepend("key", b"a"), True)
    equal(c.get("key"), b"abc")


@check
def touch_gives_time():
    c = client()
    equal(c.touch("key", 10), False)
    c.set("key", b"x", expire=1000)
    equal(c.touch("key", -1), True)
    equal(c.get("key"), None)


@check
def delete_removes():
    c = client()
    equal(c.delete("key"), False)
    c.set("key", b"x")
    equal(c.delete("key"), True)
    equal(c.get("key"), None)


@check
def values_expire():
    c = client()
    c.set("soon", b"x", expire=1)
    c.set("later", b"x", expire=1000)
    c.set("gone", b"x", expire=-1)
    equal(c.get("gone"), None)
    eventually(lambda: c.get("soon") is None, "soon has expired")
    equal(c.get("later"), b"x")


@check
def large_values_come_back():
    c = client()
    for size in [1 << 10, 16 << 10, 100 << 10, 1000 << 10]:
        value = bytes(n % 251 for n in range(size))
        c.set("key", value)
        equal(len(c.get("key") or b""), size)
        assert c.get("key") == value, f"a wrong value of {size} bytes"


@check
def a_value_too_large_is_refused_and_the_connection_goes_on():
    c = client()
    c.set("key", b"old")
    try:
        c.set("key", b"x" * (1100 << 10))
        raise AssertionError("a value of 1.1 MiB was stored")
    except MemcacheServerError:
        pass
    equal(c.get("key"), None)
    equal(c.set("key", b"new"), True)
    equal(c.get("key"), b"new")


@check
def noreply_does_all_the_same():
    c = client()
    for n in range(300):
        c.set(f"key{n}", b"1", noreply=True)
    c.add("key0", b"2", noreply=True)
    c.append("key1", b"0", noreply=True)
    c.incr("key1", 5, noreply=True)
    c.touch("key2", -1, noreply=True)
    c.delete("key3", noreply=True)
    equal(c.get("key0"), b"1")
    equal(c.get("key1"), b"15")
    equal(c.get("key2"), None)
    equal(c.get("key3"), None)
    equal(c.get("key299"), b"1")


@check
def flush_all_forgets_and_goes_on():
    c = client()
    c.set("old", b"x")
    equal(c.flush_all(), True)
    c.set("new", b"x")
    equal(c.get("old"), None)
    equal(c.get("new"), b"x")


@check
def flags_carry_types():
    c = client(serde=serde.pickle_serde)
    for value in [1, "text", b"bytes", [1, {"a": None}], "ünïcode"]:
        c.set("key", value)
        equal(c.get("key"), value)
    c = client(serde=serde.compressed_serde)
    c.set("key", "long " * 10_000)
    equal(c.get("key"), "long " * 10_000)


@check
def stats_and_version_can_be_read():
    c = client()
    c.set("key", b"x")
    stats = c.stats()
    assert int(stats[b"curr_items"]) >= 1, stats[b"curr_items"]
    assert int(stats[b"limit_maxbytes"]) > 0
    assert stats[b"threads"] and stats[b"uptime"]
    assert c.version().startswith(b"1.6."), c.version()
    assert b"maxbytes" in c.stats("settings")


@check
def keys_spread_over_three_servers():
    c = LoginHashClient(ADDRESSES, timeout=10, default_noreply=False)
    values = {f"key{n}": str(n).encode() for n in range(200)}
    equal(c.set_many(values), [])
    equal(c.get_many(list(values)), values)
    held = [len(LoginClient(address, timeout=10).get_many(list(values))) for address in ADDRESSES]
    equal(sum(held), 200)
    assert all(count > 20 for count in held), held


@check
def a_key_too_long_is_an_error_not_a_break():
    c = client()
    try:
        c.get("k" * 251)
        raise AssertionError("a key of 251 bytes was looked up")
    except MemcacheClientError:
        pass
    equal(c.set("k" * 250, b"x"), True)
    equal(c.get("k" * 250), b"x")


@check_in("login")
def nothing_is_open_without_the_password():
    client().set("key", b"x")
    stranger = Client(ADDRESSES[0], timeout=10, default_noreply=False)
    for command in [lambda: stranger.get("key"), lambda: stranger.stats(),
                    lambda: stranger.set("login", f"{USERNAME} wrong".encode()),
                    lambda: stranger.flush_all()]:
        try:
            command()
        except MemcacheClientError:
            continue
        raise AssertionError("a stranger was let in")
    equal(stranger.set("login", LoginClient.token), True)  # on the same connection or another
    equal(client().get("key"), b"x")


main("pymemcache")
