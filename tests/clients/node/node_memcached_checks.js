// The `memcached` package for Node, with callbacks turned into promises.
'use strict';

const assert = require('node:assert/strict');
const { promisify } = require('node:util');
const Memcached = require('memcached');
const { eventually, main, refused } = require('./checks');

const servers = process.env.SERVERS.split(',');
const LARGEST = 4 * 1024 * 1024; // what the client lets through, so that the server refuses

function client(where = servers[0]) {
  const options = { maxValue: LARGEST, timeout: 10000, retries: 0, failures: 100, retry: 1 };
  const memcached = new Memcached(where, options);
  const promised = { end: () => memcached.end() };
  for (const name of ['get', 'gets', 'getMulti', 'set', 'add', 'replace', 'append', 'prepend',
    'cas', 'incr', 'decr', 'touch', 'del', 'flush', 'stats', 'version', 'items', 'slabs',
    'settings']) {
    promised[name] = promisify(memcached[name].bind(memcached));
  }
  // It takes its list back once it has shown it; and shows nothing for an empty one.
  promised.cachedump = (slab, count) => new Promise((resolve, reject) => {
    memcached.cachedump(servers[0], slab, count, (error, list) => {
      if (error) reject(error);
      else resolve([list ?? []].flat());
    });
  });
  return promised;
}

const checks = {
  async 'a value comes back'(c) {
    assert.equal(await c.set('key', 'value', 1000), true);
    assert.equal(await c.get('key'), 'value');
    assert.equal(await c.get('nothing'), undefined);
  },

  async 'types come back'(c) {
    for (const value of [17, 'ünïcode', { a: [1, null] }, Buffer.from([0, 13, 10, 255])]) {
      await c.set('key', value, 1000);
      assert.deepEqual(await c.get('key'), value);
    }
  },

  async 'many keys on three servers'() {
    const cluster = client(servers);
    const keys = Array.from({ length: 100 }, (_, n) => `key${n}`);
    for (const key of keys) await cluster.set(key, key, 1000);
    const found = await cluster.getMulti([...keys, 'nothing']);
    assert.deepEqual(Object.keys(found).sort(), [...keys].sort());
    cluster.end();
  },

  async 'add and replace look first'(c) {
    assert.ok(await refused(c.replace('key', '1', 1000)));
    assert.equal(await c.add('key', '2', 1000), true);
    assert.ok(await refused(c.add('key', '3', 1000)));
    assert.equal(await c.replace('key', '4', 1000), true);
    assert.equal(await c.get('key'), '4');
  },

  async 'cas lets one writer win'(c) {
    await c.set('key', 'old', 1000);
    const found = await c.gets('key');
    assert.equal(found.key, 'old');
    assert.equal(await c.cas('key', 'new', found.cas, 1000), true);
    assert.ok(await refused(c.cas('key', 'late', found.cas, 1000)));
    assert.equal(await c.get('key'), 'new');
  },

  async 'counters count'(c) {
    await c.set('key', 10, 1000);
    assert.equal(await c.incr('key', 5), 15);
    assert.equal(await c.decr('key', 1), 14);
    assert.equal(await c.incr('nothing', 1), false);
  },

  async 'append and prepend extend'(c) {
    await c.set('key', 'b', 1000);
    assert.equal(await c.append('key', 'c'), true);
    assert.equal(await c.prepend('key', 'a'), true);
    assert.equal(await c.get('key'), 'abc');
  },

  async 'touch gives time'(c) {
    await c.set('key', 'x', 1000);
    assert.equal(await c.touch('key', 2000), true);
    assert.equal(await c.get('key'), 'x');
  },

  async 'delete removes'(c) {
    await c.set('key', 'x', 1000);
    assert.equal(await c.del('key'), true);
    assert.equal(await c.get('key'), undefined);
    assert.equal(await c.del('key'), false);
  },

  async 'values expire'(c) {
    await c.set('soon', 'x', 1);
    await c.set('later', 'x', 1000);
    await eventually(async () => (await c.get('soon')) === undefined, 'soon has expired');
    assert.equal(await c.get('later'), 'x');
  },

  async 'large values come back'(c) {
    const value = 'x'.repeat(1000 * 1024);
    assert.equal(await c.set('key', value, 1000), true);
    assert.equal((await c.get('key')).length, value.length);
  },

  async 'a value too large is refused and the connection goes on'(c) {
    assert.ok(await refused(c.set('key', 'x'.repeat(1100 * 1024), 1000)));
    // The client avoids the server for a moment: it takes a SERVER_ERROR for a sign of illness.
    await eventually(async () => !(await refused(c.set('key', 'small', 1000))), 'it is back');
    assert.equal(await c.get('key'), 'small');
  },

  async 'flush forgets'(c) {
    await c.set('key', 'x', 1000);
    await c.flush();
    assert.equal(await c.get('key'), undefined);
  },

  async 'statistics can be read'(c) {
    await c.set('key', 'x', 1000);
    const [stats] = await c.stats();
    assert.ok(stats.limit_maxbytes > 0 && stats.curr_items >= 1);
    const [version] = await c.version();
    assert.match(version.version, /^1\.6\./);
    const [slabs] = await c.slabs();
    assert.ok(Object.keys(slabs).length > 0);
    const [items] = await c.items();
    assert.ok(Object.keys(items).length > 0);
    const [settings] = await c.settings();
    assert.ok(settings.maxbytes > 0);
  },

  async 'the keys of a class are listed'(c) {
    await c.set('one', 'x', 1000);
    await c.set('two', 'y', 0);
    const [items] = await c.items();
    const dumped = [];
    for (const slab of Object.keys(items).filter((name) => name !== 'server')) {
      dumped.push(...await c.cachedump(Number(slab), 100));
    }
    const known = dumped.map(({ key, b, s }) => [key, b, s > 0]);
    assert.deepEqual(known.sort(), [['one', 1, true], ['two', 1, false]]);
  },
};

async function before() {
  const cluster = client(servers);
  await cluster.flush();
  cluster.end();
  return client();
}

main('node-memcached', checks, before, (c) => c.end());
