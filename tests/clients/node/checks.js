// A list of named checks, run one after the other: for Node what ../checks.py is for Python.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');

const mode = process.env.MODE;

// Runs each check with what `before` makes, hands that to `after`, and ends the process.
exports.main = async (client, checks, before, after) => {
  let failures = 0;
  for (const [name, check] of Object.entries(checks)) {
    let made;
    try {
      made = await before();
      await check(made);
      console.log(`ok ${client}, ${mode}: ${name}`);
    } catch (error) {
      failures += 1;
      const why = String(error).replace(/\s+/g, ' ');
      console.log(`FAILED ${client}, ${mode}: ${name}: ${why}`);
    }
    if (made) after(made);
  }
  process.exit(failures ? 1 : 0);
};

// Whether a command fails, or says that it did nothing.
exports.refused = (promise) => promise.then((result) => result === false, () => true);

// Waits for something that only the clock brings about.
exports.eventually = async (condition, what, seconds = 5) => {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `still not after ${seconds} s: ${what}`);
    await sleep(50);
  }
};
