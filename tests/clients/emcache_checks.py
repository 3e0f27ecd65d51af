"""emcache: asyncio and text, with and without a login."""

import asyncio

import emcache
from checks import (ADDRESSES, MODE, PASSWORD, USERNAME, check, check_in, equal, eventually, main)
from emcache.client_errors import AuthenticationError, NotFoundCommandError

NODES = [emcache.MemcachedHostAddress(host, port) for host, port in ADDRESSES]


def talk(conversation, nodes=NODES[:1], username=USERNAME, password=PASSWORD):
    """Runs a coroutine that takes a client, and closes the client."""
    async def run():
        login = {"username": username, "password": password} if MODE == "login" else {}
        client = await emcache.create_client(nodes, timeout=10, connection_timeout=10, **login)
        try:
            return await conversation(client)
        finally:
            await client.close()
    return asyncio.run(run())


async def refused(awaitable):
    """Whether a command fails in the way that this client has for `not stored`."""
    try:
        await awaitable
        return False
    except emcache.StorageCommandError:
        return True


async def value_of(client, key):
    item = await client.get(key)
    return item and item.value


@check
def a_value_comes_back():
    async def conversation(c):
        await c.set(b"key", b"\x00\r\nEND\r\n", flags=65535)
        item = await c.get(b"key", return_flags=True)
        equal((item.value, item.flags), (b"\x00\r\nEND\r\n", 65535))
        equal(await c.get(b"nothing"), None)
    talk(conversation)


@check
def many_keys_at_once():
    async def conversation(c):
        values = {f"key{n}".encode(): str(n).encode() for n in range(500)}
        await asyncio.gather(*(c.set(key, value) for key, value in values.items()))
        items = await c.get_many([*values, b"nothing"])
        equal({key: item.value for key, item in items.items()}, values)
    talk(conversation, NODES)


@check
def add_and_replace_look_first():
    async def conversation(c):
        equal(await refused(c.replace(b"key", b"1")), True)
        equal(await refused(c.add(b"key", b"2")), False)
        equal(await refused(c.add(b"key", b"3")), True)
        equal(await refused(c.replace(b"key", b"4")), False)
        equal(await value_of(c, b"key"), b"4")
    talk(conversation)


@check
def cas_lets_one_writer_win():
    async def conversation(c):
        await c.set(b"key", b"old")
        item = await c.gets(b"key")
        equal(await refused(c.cas(b"key", b"new", item.cas)), False)
        equal(await refused(c.cas(b"key", b"late", item.cas)), True)
        equal(await value_of(c, b"key"), b"new")
    talk(conversation)


@check
def counters_count():
    async def conversation(c):
        await c.set(b"key", b"10")
        equal(await c.increment(b"key", 5), 15)
        equal(await c.decrement(b"key", 100), 0)
        try:
            await c.increment(b"nothing", 1)
        except NotFoundCommandError:
            return
        raise AssertionError("a counter out of nothing")
    talk(conversation)


@check
def append_and_prepend_extend():
    async def conversation(c):
        equal(await refused(c.append(b"key", b"x")), True)
        await c.set(b"key", b"b")
        await c.append(b"key", b"c")
        await c.prepend(b"key", b"a")
        equal(await value_of(c, b"key"), b"abc")
    talk(conversation)


@check
def touch_gives_time_and_delete_removes():
    async def conversation(c):
        await c.set(b"key", b"x", exptime=1000)
        await c.touch(b"key", 2000)
        equal((await c.gat(3000, b"key")).value, b"x")
        await c.delete(b"key")
        equal(await c.get(b"key"), None)
        await c.set(b"key", b"x")
        await c.touch(b"key", -1)
        equal(await c.get(b"key"), None)
    talk(conversation)


@check
def values_expire():
    async def set_both(c):
        await c.set(b"soon", b"x", exptime=1)
        await c.set(b"later", b"x", exptime=1000)
    talk(set_both)
    eventually(lambda: talk(lambda c: c.get(b"soon")) is None, "soon has expired")
    equal(talk(lambda c: c.get(b"later")).value, b"x")


@check
def large_values_come_back():
    async def conversation(c):
        value = bytes(n % 251 for n in range(1000 << 10))
        await c.set(b"key", value)
        assert await value_of(c, b"key") == value
    talk(conversation)


@check
def a_value_too_large_is_refused_and_the_connection_goes_on():
    async def conversation(c):
        equal(await refused(c.set(b"key", b"x" * (1100 << 10))), True)
        await c.set(b"key", b"small")
        equal(await value_of(c, b"key"), b"small")
    talk(conversation)


@check
def noreply_does_all_the_same():
    async def conversation(c):
        for n in range(300):
            await c.set(b"key%d" % n, b"1", noreply=True)
        await c.delete(b"key0", noreply=True)
    talk(conversation)
    eventually(lambda: talk(lambda c: c.get(b"key0")) is None, "the first is gone")
    keys = [b"key%d" % n for n in range(300)]
    eventually(lambda: len(talk(lambda c: c.get_many(keys))) == 299, "all others are there")


@check
def flush_statistics_and_version():
    async def conversation(c):
        await c.set(b"key", b"x")
        await c.flush_all(NODES[0])
        equal(await c.get(b"key"), None)
        stats = await c.stats(NODES[0])
        assert int(stats["limit_maxbytes"]) > 0
        assert (await c.version(NODES[0])).startswith("1.6.")
    talk(conversation)


@check_in("login")
def a_wrong_password_opens_nothing():
    async def conversation(c):
        await c.get(b"key")
    for username, password in [(USERNAME, "wrong"), ("owl", PASSWORD)]:
        try:
            talk(conversation, username=username, password=password)
        except (AuthenticationError, asyncio.TimeoutError):
            continue
        raise AssertionError(f"{username} and {password!r} were let in")


main("emcache")
