"""meta-memcache: leases, stale values and early recaching by the meta protocol."""

import random
from concurrent.futures import ThreadPoolExecutor

from checks import ADDRESSES, check, equal, eventually, main
from meta_memcache import (CacheClient, Key, LeasePolicy, MemcacheError, RecachePolicy,
                           ServerAddress, SetMode, StalePolicy, connection_pool_factory_builder)

STALE = StalePolicy(mark_stale_on_deletion_ttl=1000, mark_stale_on_cas_mismatch=True)


def client(addresses=ADDRESSES[:1], pool=3):
    connections = connection_pool_factory_builder(
        max_pool_size=pool, connection_timeout=10, recv_timeout=10)
    return CacheClient.cache_client_from_servers(
        [ServerAddress(host, port) for host, port in addresses], connections)


@check
def a_value_comes_back():
    c = client()
    equal(c.set("key", "value", ttl=1000), True)
    equal(c.get("key"), "value")
    equal(c.get("nothing"), None)


@check
def types_come_back():
    c = client()
    for value in [17, b"\x00\r\n\xff", "ünïcode", [1, {"a": (2, None)}], "long " * 10_000]:
        c.set("key", value, ttl=1000)
        equal(c.get("key"), value)


@check
def many_keys_at_once():
    c = client(ADDRESSES)
    values = {f"key{n}": n for n in range(500)}
    for key, value in values.items():
        equal(c.set(key, value, ttl=1000), True)
    found = c.multi_get([*values, "nothing"])
    equal({key.key: value for key, value in found.items()}, {**values, "nothing": None})


@check
def keys_of_any_bytes():
    c = client()
    for name in ["käsewürfel", "two words", "l" * 400]:  # sent as base64, or hashed
        equal(c.set(Key(name), name, ttl=1000), True)
        equal(c.get(Key(name)), name)
        equal(c.delete(Key(name)), True)


@check
def modes_look_first():
    c = client()
    equal(c.set("key", b"1", ttl=1000, set_mode=SetMode.REPLACE), False)
    equal(c.set("key", b"2", ttl=1000, set_mode=SetMode.ADD), True)
    equal(c.refill("key", b"3", ttl=1000), False)
    equal(c.set("key", b"4", ttl=1000, set_mode=SetMode.REPLACE), True)
    equal(c.set("key", b"5", ttl=1000, set_mode=SetMode.APPEND), True)
    equal(c.set("key", b"3", ttl=1000, set_mode=SetMode.PREPEND), True)
    equal(c.get("key"), b"345")


@check
def cas_lets_one_writer_win():
    c = client()
    first = c.set_cas("key", "old", ttl=1000)
    equal(c.get_cas("key"), ("old", first))
    equal(c.set("key", "new", ttl=1000, cas_token=first), True)
    equal(c.set("key", "late", ttl=1000, cas_token=first), False)
    equal(c.delete("key", cas_token=first), False)
    equal(c.get("key"), "new")


@check
def counters_count():
    c = client()
    equal(c.delta_and_get("key", 1), None)
    equal(c.delta_initialize_and_get("key", 1, initial_value=10, initial_ttl=1000), 10)
    equal(c.delta_initialize_and_get("key", 5, initial_value=10, initial_ttl=1000), 15)
    equal(c.delta_and_get("key", -6), 9)
    equal(c.delta("key", -100), True)
    equal(c.delta_and_get("key", 0), 0)


@check
def touch_gives_time():
    c = client()
    equal(c.touch("key", ttl=1000), False)
    c.set("key", "x", ttl=1)
    equal(c.touch("key", ttl=1000), True)
    c.set("other", "x", ttl=1)
    eventually(lambda: c.get("other") is None, "the other has expired")
    equal(c.get("key"), "x")


@check
def delete_removes():
    c = client()
    equal(c.delete("key"), False)
    equal(c.invalidate("key"), True)
    c.set("key", "x", ttl=1000)
    equal(c.delete("key"), True)
    equal(c.get("key"), None)


@check
def large_values_come_back():
    c = client()
    value = random.randbytes(1000 << 10)  # which cannot be compressed
    equal(c.set("key", value, ttl=1000), True)
    assert c.get("key") == value


@check
def a_value_too_large_is_refused_and_the_connection_goes_on():
    c = client(pool=1)
    try:
        stored = c.set("key", random.randbytes(1100 << 10), ttl=1000)
    except MemcacheError:
        stored = False
    equal(stored, False)
    equal(c.set("key", "small", ttl=1000), True)
    equal(c.get("key"), "small")


@check
def noreply_does_all_the_same():
    c = client(pool=1)
    for n in range(300):
        c.set(f"key{n}", n, ttl=1000, no_reply=True)
    c.delete("key0", no_reply=True)
    c.delta("key1", 9, no_reply=True)
    equal(c.get("key0"), None)
    equal(c.get("key1"), 10)
    equal(c.get("key299"), 299)


@check
def a_lease_lets_one_of_many_compute():
    c = client(pool=16)
    policy = LeasePolicy(ttl=1000, miss_retries=500, miss_retry_wait=0.01, wait_backoff_factor=1)

    def read(_):
        value, cas = c.get_or_lease_cas("key", policy)
        if value is not None:
            return value, 0
        equal(c.set("key", "computed", ttl=1000, cas_token=cas), True)
        return "computed", 1

    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(read, range(100)))
    equal({value for value, _ in results}, {"computed"})
    equal(sum(computed for _, computed in results), 1)


@check
def a_stale_value_is_served_while_one_recomputes():
    c = client()
    c.set("key", "old", ttl=1000)
    equal(c.invalidate("key", stale_policy=STALE), True)
    value, cas = c.get_cas("key")
    equal(value, None)  # the winner is to recompute
    for _ in range(3):
        equal(c.get("key"), "old")
    equal(c.set("key", "new", ttl=1000, cas_token=cas), True)
    equal(c.get("key"), "new")


@check
def a_late_write_is_kept_as_stale():
    c = client()
    c.set("key", "old", ttl=1000)
    _, cas = c.get_cas("key")
    c.invalidate("key", stale_policy=STALE)  # meanwhile
    equal(c.set("key", "late", ttl=1000, cas_token=cas, stale_policy=STALE), True)
    equal(c.get("key"), None)
    equal(c.get("key"), "late")


@check
def one_reader_recaches_early():
    c = client()
    policy = RecachePolicy(ttl=30)
    c.set("key", "old", ttl=1000)
    equal(c.get("key", recache_policy=policy), "old")
    c.touch("key", ttl=20)
    equal(c.get("key", recache_policy=policy), None)
    equal(c.get("key", recache_policy=policy), "old")
    c.set("key", "new", ttl=1000)
    equal(c.get("key", recache_policy=policy), "new")


main("meta-memcache")
