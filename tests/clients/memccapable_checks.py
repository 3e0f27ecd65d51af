"""libmemcached's own test of a server, memccapable: each of its tests is a check.

What memcached 1.6.45 does otherwise than it wants is done as by memcached, and tolerated here.
"""

import re
import subprocess
import sys

from checks import ADDRESSES, MODE

HOST, PORT = ADDRESSES[0]

# What fails for memcached 1.6.45 as well, and why.
TOLERATED = {
    "ascii delete": "`delete a b c d e` deletes `a`: extra words after the time are ignored",
    "ascii delete noreply": "the same with `noreply` at the end",
}


TESTS = 27  # it has as many for either protocol


def main():
    protocol = {"text": "-a", "binary": "-b"}[MODE]
    done = subprocess.run(["memccapable", "-h", HOST, "-p", str(PORT), "-t", "10", protocol],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120,
                          check=False, text=True)
    # A name, then `[pass]`. `[FAIL]` goes to the other stream, so that the next name follows.
    results = re.findall(r"((?:ascii|binary)(?: \w+)+) {2,}(\[pass\])?", done.stdout)
    failures = 0
    for name, passed in results:
        good = passed or name in TOLERATED
        failures += not good
        print(f"{'ok' if good else 'FAILED'} memccapable, {MODE}: {name}")
    if len(results) != TESTS:
        failures += 1
        print(f"FAILED memccapable, {MODE}: there were {len(results)} tests")
    sys.exit(1 if failures else 0)


main()
