"""collectd, a monitoring agent: its memcached plugin reads what a server has done."""

import glob
import os
import subprocess
import tempfile
import time

import pymemcache

from checks import ADDRESSES, check, equal, main

# Debian puts it where only root's PATH leads.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])

CONFIGURATION = """
BaseDir "{directory}"
PIDFile "{directory}/pid"
Hostname "host"
Interval 0.1
TypesDB "/usr/share/collectd/types.db"
LoadPlugin csv
<Plugin csv>
  DataDir "{directory}"
  StoreRates false
</Plugin>
LoadPlugin memcached
<Plugin memcached>
  <Instance "cache">
    Address "{host}"
    Port "{port}"
  </Instance>
</Plugin>
"""

READ_MAX = 20  # seconds that the agent may take until its first values


def last_values(directory, name):
    """The last values of a series, or nothing while there are none."""
    for path in glob.glob(f"{directory}/host/memcached-cache/{name}-20*"):
        with open(path, encoding="ascii") as file:
            lines = [line for line in file.read().split("\n") if line[:1].isdigit()]
        if lines:
            return [float(value) for value in lines[-1].split(",")[1:]]
    return []


def readings(wanted):
    """What the agent reads of the first server, once it has all that is `wanted`."""
    host, port = ADDRESSES[0]
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/collectd.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(directory=directory, host=host, port=port))
        agent = subprocess.Popen(["collectd", "-f", "-C", path], env={**os.environ, "PATH": PATH},
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + READ_MAX
            while True:
                values = {name: last_values(directory, name) for name in wanted}
                if all(values.values()) or time.monotonic() > deadline:
                    return values
                time.sleep(0.1)
        finally:
            agent.terminate()
            agent.wait(READ_MAX)


@check
def the_agent_reads_what_clients_did():
    client = pymemcache.Client(ADDRESSES[0])
    for number in range(7):
        client.set(f"key-{number}", b"value")
    for number in range(10):
        client.get(f"key-{number}")
    client.incr("nothing", 1)
    values = readings([
        "memcached_command-get", "memcached_command-set", "memcached_ops-hits",
        "memcached_ops-misses", "memcached_ops-incr_misses", "memcached_items-current",
        "memcached_ops-evictions", "df-cache", "uptime", "ps_cputime", "memcached_octets",
    ])
    used, free = values.pop("df-cache")
    assert 0 < used < 64 << 20 and used + free == 64 << 20, (used, free)
    received, sent = values.pop("memcached_octets")
    assert received > 100 and sent > 100, (received, sent)
    assert values.pop("uptime")[0] >= 0
    assert len(values.pop("ps_cputime")) == 2
    equal(values, {
        "memcached_command-get": [10], "memcached_command-set": [7], "memcached_ops-hits": [7],
        "memcached_ops-misses": [3], "memcached_ops-incr_misses": [1],
        "memcached_items-current": [7], "memcached_ops-evictions": [0],
    })


main("collectd")
