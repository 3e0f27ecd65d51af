// memjs: speaks binary and nothing else, with and without a login.
'use strict';

const assert = require('node:assert/strict');
const { promisify } = require('node:util');
const { Client } = require('memjs');
const { eventually, main, refused } = require('./checks');

const servers = process.env.SERVERS.split(',');
const login = { username: process.env.USERNAME, password: process.env.PASSWORD };
const sasl = process.env.MODE === 'sasl';

function client(where = servers.slice(0, 1), more = {}) {
  const logger = { log: () => {} }; // what it would say is checked by what it returns
  const options = { ...(sasl ? login : {}), timeout: 10, retries: 1, logger, ...more };
  return Client.create(where.join(','), options);
}

async function text(c, key) {
  const { value } = await c.get(key);
  return value && value.toString();
}

const checks = {
  async 'a value comes back'(c) {
    assert.equal(await c.set('key', 'value', { expires: 1000 }), true);
    assert.equal(await text(c, 'key'), 'value');
    assert.equal(await text(c, 'nothing'), null);
  },

  async 'bytes of all kinds come back'(c) {
    const value = Buffer.from([0, 13, 10, 255, 128]);
    await c.set('key', value);
    assert.deepEqual((await c.get('key')).value, value);
  },

  async 'many keys on three servers, all asked for at once'() {
    const cluster = client(servers);
    const keys = Array.from({ length: 500 }, (_, n) => `key${n}`);
    await Promise.all(keys.map((key) => cluster.set(key, key)));
    assert.deepEqual(await Promise.all(keys.map((key) => text(cluster, key))), keys);
    cluster.close();
  },

  async 'add and replace look first'(c) {
    assert.equal(await c.replace('key', '1'), false);
    assert.equal(await c.add('key', '2'), true);
    assert.equal(await c.add('key', '3'), false);
    assert.equal(await c.replace('key', '4'), true);
    assert.equal(await text(c, 'key'), '4');
  },

  async 'counters count'(c) {
    const start = { initial: 10, expires: 1000 };
    assert.deepEqual(await c.increment('key', 5, start), { success: true, value: 10 });
    assert.deepEqual(await c.increment('key', 5, start), { success: true, value: 15 });
    assert.deepEqual(await c.decrement('key', 1, start), { success: true, value: 14 });
    assert.deepEqual(await c.decrement('key', 100, start), { success: true, value: 0 });
    await c.set('key', 'word');
    assert.ok(await refused(c.increment('key', 1)));
  },

  async 'append extends'(c) {
    assert.ok(await refused(c.append('key', 'x')));
    await c.set('key', 'a');
    assert.equal(await c.append('key', 'b'), true);
    assert.equal(await text(c, 'key'), 'ab');
  },

  async 'touch gives time'(c) {
    assert.equal(await c.touch('key', 1000), false);
    await c.set('key', 'x', { expires: 1 });
    await c.set('other', 'x', { expires: 1 });
    assert.equal(await c.touch('key', 1000), true);
    await eventually(async () => (await text(c, 'other')) === null, 'the other has expired');
    assert.equal(await text(c, 'key'), 'x');
  },

  async 'delete removes'(c) {
    assert.equal(await c.delete('key'), false);
    await c.set('key', 'x');
    assert.equal(await c.delete('key'), true);
    assert.equal(await text(c, 'key'), null);
  },

  async 'large values come back'(c) {
    const value = Buffer.alloc(1000 * 1024, 'some text');
    assert.equal(await c.set('key', value), true);
    assert.ok((await c.get('key')).value.equals(value));
  },

  async 'a value too large is refused and the connection goes on'(c) {
    assert.ok(await refused(c.set('key', Buffer.alloc(1100 * 1024))));
    assert.equal(await c.set('key', 'small'), true);
    assert.equal(await text(c, 'key'), 'small');
  },

  async 'flush forgets'(c) {
    await c.set('key', 'x');
    await c.flush();
    assert.equal(await text(c, 'key'), null);
  },

  async 'statistics can be read'(c) {
    const stats = await new Promise((resolve, reject) => {
      c.stats((error, _, numbers) => (error ? reject(error) : resolve(numbers)));
    });
    assert.ok(Number(stats.limit_maxbytes) > 0);
    assert.match(stats.version, /^1\.6\./);
    const settings = await new Promise((resolve, reject) => {
      c.statsWithKey('settings', (error, _, values) => (error ? reject(error) : resolve(values)));
    });
    assert.ok(Number(settings.maxbytes) > 0);
  },
};

if (sasl) {
  checks['a wrong password opens nothing'] = async (c) => {
    await c.set('key', 'x');
    for (const wrong of [{ password: 'wrong' }, { username: 'owl' }]) {
      const stranger = client(servers.slice(0, 1), wrong);
      const get = promisify(stranger.get.bind(stranger));
      await assert.rejects(get('key'), /authentication failed/);
      stranger.close();
    }
    assert.equal(await text(c, 'key'), 'x');
  };
}

async function before() {
  const cluster = client(servers);
  await cluster.flush();
  cluster.close();
  return client();
}

main('memjs', checks, before, (c) => c.close());
