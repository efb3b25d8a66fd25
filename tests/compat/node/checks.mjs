// Named checks of one client. `run()` runs them and prints a JSON line for each, `{check, ok, detail}`.

import assert from "node:assert/strict";

const { SWITCHYARD_URL, SWITCHYARD_KEY, SPENT_KEY, CONTROL_URL } = process.env;
export const BASE_URL = `${SWITCHYARD_URL}/v1`;
export const KEY = SWITCHYARD_KEY;
export { SPENT_KEY };

export const GREETING = "Hello there.";
export const WEATHER = "It is 21 degrees in Paris.";
export const QUESTION = "What is the weather in Paris?";
export const LONG_TEXT = "The quick brown fox jumps over the lazy dog. ".repeat(600);
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
export const RETRY_AFTER = 2; // seconds, as the provider sends them
export const [MODEL, CLAUDE] = ["gpt-4.1", "claude-sonnet-4-6"];
const CHECK_SECONDS = 120;

const checks = [];

/** Registers a check; `name` is an API and a situation, such as `chat stream`. */
export function check(name, run) {
  checks.push({ name, run });
}

export async function run() {
  for (const { name, run } of checks) {
    await control("reset", { method: "POST" });
    let report = { check: name, ok: true, detail: "" };
    try {
      await inTime(run());
    } catch (error) {
      const body = error.responseBody ?? error.lastError?.responseBody ?? "";
      report = { check: name, ok: false, detail: `${error.stack ?? error}\n${body}`.slice(0, 3000) };
    }
    console.log(JSON.stringify(report));
  }
  process.exit(0); // a client may keep its sockets open
}

function inTime(work) {
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`not within ${CHECK_SECONDS} s`)), CHECK_SECONDS * 1000).unref(),
  );
  return Promise.race([work, late]);
}

/** Requests to this upstream model since the check began: `{route, headers, body}`. */
export const requestsFor = (model) => control(`requests?model=${model}`);

async function control(path, options) {
  const answer = await fetch(`${CONTROL_URL}/${path}`, options);
  return answer.json();
}

export const equal = assert.deepEqual;
export const ok = assert.ok;

/** The error of `work`, which has to fail. */
export async function refusal(work) {
  try {
    await work();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was refused");
}

/** The result of `work`, which has to last as long as the provider's Retry-After asks. */
export async function waits(work) {
  const began = performance.now();
  const result = await work();
  const seconds = (performance.now() - began) / 1000;
  ok(seconds > RETRY_AFTER - 0.1, `it waited ${seconds.toFixed(1)} s`);
  return result;
}
