"""python-memcached, in the way that tutorials use it: a small class around three servers."""

import json

import memcache
from checks import SERVERS, check, equal, eventually, main


class MemcachedCluster:
    """Values of any JSON type on several servers, each with a time to live."""

    def __init__(self, servers, ttl=300):
        self.client = memcache.Client(servers, debug=0, socket_timeout=10)
        self.ttl = ttl

    def set(self, key, value, ttl=None):
        return bool(self.client.set(key, json.dumps(value), time=ttl or self.ttl))

    def get(self, key):
        text = self.client.get(key)
        return None if text is None else json.loads(text)

    def get_multi(self, keys):
        return {key: json.loads(text) for key, text in self.client.get_multi(keys).items()}

    def set_multi(self, values):
        texts = {key: json.dumps(value) for key, value in values.items()}
        return self.client.set_multi(texts, time=self.ttl)

    def delete(self, key):
        return bool(self.client.delete(key))

    def stats(self):
        """By server; this library gives the names of servers and numbers as text."""
        return {name.split(" ")[0]: numbers for name, numbers in self.client.get_stats()}


cluster = MemcachedCluster(SERVERS)


@check
def json_values_come_back():
    user = {"id": 7, "name": "Žofie", "tags": ["a", "b"], "score": 1.5, "gone": None}
    equal(cluster.set("user:7", user), True)
    equal(cluster.get("user:7"), user)
    equal(cluster.get("user:8"), None)


@check
def many_values_spread_and_come_back():
    values = {f"user:{n}": {"id": n} for n in range(300)}
    equal(cluster.set_multi(values), [])
    equal(cluster.get_multi(list(values)), values)
    held = [int(numbers["curr_items"]) for numbers in cluster.stats().values()]
    equal(len(held), 3)
    assert all(count >= 50 for count in held), held


@check
def values_live_for_their_time():
    cluster.set("soon", 1, ttl=1)
    cluster.set("later", 2, ttl=1000)
    eventually(lambda: cluster.get("soon") is None, "soon has expired")
    equal(cluster.get("later"), 2)


@check
def delete_removes():
    cluster.set("key", 1)
    equal(cluster.delete("key"), True)
    equal(cluster.get("key"), None)


@check
def statistics_tell_of_every_server():
    cluster.set("key", 1)
    cluster.get("key")
    stats = cluster.stats()
    equal(sorted(stats), sorted(SERVERS))
    for numbers in stats.values():
        for name in ["pid", "uptime", "version", "curr_items", "cmd_get", "cmd_set", "get_hits",
                     "get_misses", "bytes", "limit_maxbytes", "evictions", "threads"]:
            assert name in numbers, f"no {name}"
    assert sum(int(numbers["get_hits"]) for numbers in stats.values()) >= 1


@check
def counters_count():
    c = cluster.client
    c.set("key", "10")
    equal(c.incr("key", 5), 15)
    equal(c.decr("key", 20), 0)
    equal(c.incr("nothing"), None)


@check
def add_replace_append_prepend():
    c = cluster.client
    assert not c.replace("key", "x")
    assert c.add("key", "b")
    assert not c.add("key", "x")
    assert c.append("key", "c")
    assert c.prepend("key", "a")
    equal(c.get("key"), "abc")


@check
def cas_lets_one_writer_win():
    first = memcache.Client(SERVERS, cache_cas=True, socket_timeout=10)
    second = memcache.Client(SERVERS, cache_cas=True, socket_timeout=10)
    first.set("key", "old")
    equal(first.gets("key"), "old")
    equal(second.gets("key"), "old")
    assert first.cas("key", "first")
    assert not second.cas("key", "second")
    equal(first.get("key"), "first")


@check
def touch_gives_time():
    c = cluster.client
    c.set("key", "x", time=1000)
    assert c.touch("key", 2000)
    equal(c.get("key"), "x")
    assert not c.touch("nothing", 10)


@check
def types_and_compression_come_back():
    c = cluster.client
    for value in [True, 17, 2**70, b"bytes", "text", [1, {"a": (2, 3)}]]:
        assert c.set("key", value)
        equal(c.get("key"), value)
    assert c.set("key", "text " * 10_000, min_compress_len=100)
    equal(c.get("key"), "text " * 10_000)


@check
def a_value_too_large_is_refused_and_the_connection_goes_on():
    c = memcache.Client(SERVERS, server_max_value_length=8 << 20, socket_timeout=10)
    assert not c.set("key", "x" * (1100 << 10))
    assert c.set("key", "small")
    equal(c.get("key"), "small")
    assert c.set("key", "x" * (1000 << 10))
    equal(len(c.get("key")), 1000 << 10)


@check
def noreply_does_all_the_same():
    c = cluster.client
    c.set_multi({f"key{n}": "x" for n in range(300)}, noreply=True)
    c.delete_multi([f"key{n}" for n in range(100)], noreply=True)
    equal(len(c.get_multi([f"key{n}" for n in range(300)])), 200)


@check
def flush_all_forgets_on_every_server():
    cluster.set_multi({f"key{n}": n for n in range(100)})
    cluster.client.flush_all()
    equal(cluster.get_multi([f"key{n}" for n in range(100)]), {})


main("python-memcached")
