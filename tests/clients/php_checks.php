<?php
// php-memcached: libmemcached under PHP, in text and in binary mode, with and without a login.
//
// Prints one line per check as checks.py does.
declare(strict_types=1);

define('MODE', getenv('MODE'));
define('SERVERS', explode(',', getenv('SERVERS')));

function client(array $where = [SERVERS[0]], ?string $password = null): Memcached
{
    $c = new Memcached();
    $c->setOptions([
        Memcached::OPT_BINARY_PROTOCOL => MODE !== 'text',
        Memcached::OPT_LIBKETAMA_COMPATIBLE => true,
        Memcached::OPT_TCP_NODELAY => true,
    ]);
    if (MODE === 'sasl') {
        $c->setSaslAuthData(getenv('USERNAME'), $password ?? getenv('PASSWORD'));
    }
    foreach ($where as $server) {
        [$host, $port] = explode(':', $server);
        $c->addServer($host, (int) $port);
    }
    return $c;
}

function equal(mixed $left, mixed $right): void
{
    if ($left !== $right) {
        throw new Exception(var_export($left, true) . ' is not ' . var_export($right, true));
    }
}

function eventually(callable $condition, string $what): void
{
    $deadline = microtime(true) + 5;
    while (!$condition()) {
        equal(microtime(true) < $deadline ? '' : "still not after 5 s: $what", '');
        usleep(50_000);
    }
}

$checks = [];

$checks['a value comes back'] = function (): void {
    $c = client();
    equal($c->set('key', 'value', 1000), true);
    equal($c->get('key'), 'value');
    equal($c->get('nothing'), false);
    equal($c->getResultCode(), Memcached::RES_NOTFOUND);
};

$checks['types come back'] = function (): void {
    $c = client();
    $values = [true, 17, 1.5, "\0\r\n\xff", 'ünïcode', [1, ['a' => null]], str_repeat('long ', 9999)];
    foreach ($values as $value) {
        equal($c->set('key', $value), true);
        equal($c->get('key'), $value);
    }
};

$checks['many keys at once'] = function (): void {
    $c = client(SERVERS);
    $values = [];
    for ($n = 0; $n < 500; $n++) {
        $values["key$n"] = $n;
    }
    equal($c->setMulti($values), true);
    $found = $c->getMulti([...array_keys($values), 'nothing'], Memcached::GET_PRESERVE_ORDER);
    equal(array_filter($found, fn ($value) => $value !== null), $values);
    equal(array_unique($c->deleteMulti(array_keys($values))), ['key0' => true]);
    equal($c->getMulti(array_keys($values)), []);
};

$checks['add and replace look first'] = function (): void {
    $c = client();
    equal($c->replace('key', 1), false);
    equal($c->add('key', 2), true);
    equal($c->add('key', 3), false);
    equal($c->replace('key', 4), true);
    equal($c->get('key'), 4);
};

$checks['cas lets one writer win'] = function (): void {
    $c = client();
    $c->set('key', 'old');
    $found = $c->get('key', null, Memcached::GET_EXTENDED);
    equal($found['value'], 'old');
    equal($c->cas($found['cas'], 'key', 'new'), true);
    equal($c->cas($found['cas'], 'key', 'late'), false);
    equal($c->getResultCode(), Memcached::RES_DATA_EXISTS);
    equal($c->get('key'), 'new');
};

$checks['counters count'] = function (): void {
    $c = client();
    $c->set('key', 10);
    equal($c->increment('key', 5), 15);
    equal($c->decrement('key'), 14);
    equal($c->decrement('key', 100), 0);
    if (MODE !== 'text') { // the text protocol has no initial value
        equal($c->increment('other', 1, 7, 1000), 7);
        equal($c->increment('other', 1, 7, 1000), 8);
    }
};

$checks['append and prepend extend'] = function (): void {
    $c = client();
    $c->setOption(Memcached::OPT_COMPRESSION, false);
    equal($c->append('key', 'x'), false);
    $c->set('key', 'b');
    equal($c->append('key', 'c'), true);
    equal($c->prepend('key', 'a'), true);
    equal($c->get('key'), 'abc');
};

$checks['touch gives time'] = function (): void {
    $c = client();
    equal($c->touch('key', 1000), false);
    $c->set('key', 'x', 1);
    $c->set('other', 'x', 1);
    equal($c->touch('key', 1000), true);
    eventually(fn () => $c->get('other') === false, 'the other has expired');
    equal($c->get('key'), 'x');
};

$checks['delete removes'] = function (): void {
    $c = client();
    equal($c->delete('key'), false);
    $c->set('key', 'x');
    equal($c->delete('key'), true);
    equal($c->get('key'), false);
};

$checks['large values come back'] = function (): void {
    $c = client();
    $c->setOption(Memcached::OPT_COMPRESSION, false);
    $value = str_repeat("some\0text ", 100 << 10);
    equal($c->set('key', $value), true);
    equal($c->get('key') === $value, true);
};

$checks['a value too large is refused and the connection goes on'] = function (): void {
    $c = client();
    $c->setOption(Memcached::OPT_COMPRESSION, false);
    equal($c->set('key', str_repeat('x', 1100 << 10)), false);
    equal($c->set('key', 'small'), true);
    equal($c->get('key'), 'small');
};

$checks['noreply does all the same'] = function (): void {
    $quiet = client();
    $quiet->setOption(Memcached::OPT_NOREPLY, true);
    for ($n = 0; $n < 300; $n++) {
        $quiet->set("key$n", $n);
    }
    $c = client();
    eventually(fn () => $c->get('key299') === 299, 'the last key is there');
    equal(count($c->getMulti(array_map(fn ($n) => "key$n", range(0, 299)))), 300);
};

$checks['flush forgets'] = function (): void {
    $c = client(SERVERS);
    $c->setMulti(['a' => 1, 'b' => 2, 'c' => 3]);
    equal($c->flush(), true);
    equal($c->getMulti(['a', 'b', 'c']), []);
};

$checks['statistics and versions can be read'] = function (): void {
    $c = client(SERVERS);
    foreach ([$c->getStats(), $c->getVersion()] as $answers) {
        equal(array_keys($answers), SERVERS);
    }
    foreach ($c->getStats() as $numbers) {
        equal($numbers['limit_maxbytes'] > 0, true);
    }
    foreach ($c->getVersion() as $version) {
        equal(str_starts_with($version, '1.6.'), true);
    }
};

if (MODE === 'sasl') {
    $checks['a wrong password opens nothing'] = function (): void {
        client()->set('key', 'x');
        $stranger = client(password: 'wrong');
        equal($stranger->get('key'), false);
        equal($stranger->getResultCode(), Memcached::RES_AUTH_FAILURE);
        equal(client()->get('key'), 'x');
    };
}

$failures = 0;
foreach ($checks as $name => $check) {
    $name = 'php-memcached, ' . MODE . ": $name";
    try {
        equal(client(SERVERS)->flush(), true);
        $check();
        echo "ok $name\n";
    } catch (Throwable $error) {
        $failures++;
        $why = preg_replace('/\s+/', ' ', substr($error->getMessage(), 0, 300));
        echo "FAILED $name: $why\n";
    }
}
exit($failures > 0 ? 1 : 0);
