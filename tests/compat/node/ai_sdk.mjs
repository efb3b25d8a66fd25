// Vercel's AI SDK: `openai('model')` (Responses), `openai.chat('model')`, and the OpenAI-compatible provider.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, RetryError, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import {
  BASE_URL, CLAUDE, GREETING, KEY, LONG_TEXT, MODEL, PIXEL, QUESTION, RETRY_AFTER, SPENT_KEY, WEATHER,
  check, equal, ok, refusal, requestsFor, run, waits,
} from "./checks.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const openaiWith = (apiKey) => createOpenAI({ baseURL: BASE_URL, apiKey });
const compatibleWith = (apiKey) =>
  createOpenAICompatible({ name: "switchyard", baseURL: BASE_URL, apiKey, supportsStructuredOutputs: true, includeUsage: true });
const openai = openaiWith(KEY);
const compatible = compatibleWith(KEY);
const responses = (model, key) => (key ? openaiWith(key) : openai)(model);
const chat = (model, key) => (key ? compatibleWith(key) : compatible)(model);
const Report = z.object({ city: z.string(), degrees: z.number() });
const tools = {
  get_weather: tool({ description: "The temperature in a city", inputSchema: z.object({ city: z.string() }), execute: async () => "21" }),
};

async function streams(model) {
  const failures = [];
  const result = streamText({ model, prompt: "Hello", onError: ({ error }) => failures.push(error) });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  if (failures.length) throw failures[0];
  equal(pieces.join(""), GREETING);
  ok(pieces.length > 1, "the answer arrived in one piece");
  ok((await result.usage).inputTokens > 0);
}

async function usesTools(make) {
  for (const name of [MODEL, CLAUDE]) {
    const loop = { model: make(name), tools, stopWhen: stepCountIs(3), prompt: QUESTION };
    const whole = await generateText(loop);
    equal([whole.text, whole.steps.length], [WEATHER, 2]);
    const failures = [];
    const streamed = streamText({ ...loop, onError: ({ error }) => failures.push(error) });
    await streamed.consumeStream();
    if (failures.length) throw failures[0];
    equal(await streamed.text, WEATHER);
  }
}

async function structures(model) {
  const { output } = await generateText({ model, output: Output.object({ schema: Report }), prompt: QUESTION });
  equal(output.city, "Paris");
}

async function seesImages(model) {
  const content = [{ type: "text", text: "How many?" }, { type: "image", image: PIXEL, mediaType: "image/png" }];
  const { text } = await generateText({ model, messages: [{ role: "user", content }] });
  equal(text, "I see 1 image(s).");
}

/** The APICallError of a request that fails with this status. */
async function refusedWith(status, options) {
  const thrown = await refusal(() => generateText({ maxRetries: 0, prompt: "Hello", ...options }));
  const error = RetryError.isInstance(thrown) ? thrown.lastError : thrown;
  ok(APICallError.isInstance(error), String(error));
  equal(error.statusCode, status, `${error.message} ${error.responseBody}`);
  return error;
}

async function refusesBadParameters(model) {
  const error = await refusedWith(400, { model, temperature: 5 });
  ok(error.message.includes("temperature"), error.message);
  ok(!error.isRetryable);
}

async function refusesUnknownModels(model) {
  const error = await refusedWith(404, { model });
  ok(error.responseBody.includes("model_not_found"), error.responseBody);
}

async function recognisesOverflow(model) {
  const error = await refusedWith(400, { model, prompt: LONG_TEXT });
  ok(error.responseBody.includes("context_length_exceeded"), error.responseBody);
}

async function reportsRateLimits(model) {
  const error = await refusedWith(429, { model });
  ok(error.isRetryable);
  equal(Number(error.responseHeaders["retry-after"]), RETRY_AFTER);
}

async function retries(model) {
  const ask = () => generateText({ model, prompt: "Hello" });
  equal((await waits(ask)).text, GREETING);
  equal((await requestsFor("busy-once")).length, 2);
}

async function stopsAtTheBudget(model) {
  const error = await refusedWith(429, { model });
  ok(error.responseBody.includes("insufficient_quota"), error.responseBody);
  equal(await requestsFor(MODEL), []);
}

check("responses whole", async () => {
  for (const name of [MODEL, CLAUDE]) {
    const { text, usage, finishReason } = await generateText({ model: responses(name), system: "Be brief.", prompt: "Hello" });
    equal([text, finishReason], [GREETING, "stop"]);
    ok(usage.inputTokens > 0);
  }
});
check("responses stream", () => streams(responses(MODEL)));
check("responses tools", () => usesTools(responses));
check("responses structured output", () => structures(responses(MODEL)));
check("responses images", () => seesImages(responses(MODEL)));
check("responses bad parameter", () => refusesBadParameters(responses(MODEL)));
check("responses unknown model", () => refusesUnknownModels(responses("gpt-9")));
check("responses context overflow", () => recognisesOverflow(responses("overflow")));
check("responses rate limit", () => reportsRateLimits(responses("busy")));
check("responses retry", () => retries(responses("busy-once")));
check("responses spent budget", () => stopsAtTheBudget(responses(MODEL, SPENT_KEY)));

check("chat whole", async () => {
  for (const model of [chat(MODEL), chat(CLAUDE), openai.chat(MODEL)]) {
    const { text, usage, finishReason } = await generateText({ model, system: "Be brief.", prompt: "Hello" });
    equal([text, finishReason], [GREETING, "stop"]);
    ok(usage.inputTokens > 0);
  }
});
check("chat stream", () => streams(chat(MODEL)));
check("chat tools", () => usesTools(chat));
check("chat structured output", async () => {
  await structures(chat(MODEL));
  await structures(openai.chat(MODEL));
});
check("chat images", () => seesImages(chat(MODEL)));
check("chat reasoning", async () => {
  const providerOptions = { switchyard: { reasoningEffort: "high" } };
  const { reasoningText } = await generateText({ model: chat(CLAUDE), prompt: "Hello", providerOptions });
  equal(reasoningText, "The user greets me.");
});
check("chat bad parameter", () => refusesBadParameters(chat(MODEL)));
check("chat unknown model", () => refusesUnknownModels(chat("gpt-9")));
check("chat context overflow", () => recognisesOverflow(chat("overflow")));
check("chat rate limit", () => reportsRateLimits(chat("busy")));
check("chat retry", () => retries(chat("busy-once")));
check("chat spent budget", () => stopsAtTheBudget(chat(MODEL, SPENT_KEY)));

check("embeddings whole", async () => {
  for (const model of [openai.embedding("text-embedding-3-small"), compatible.textEmbeddingModel("text-embedding-3-small")]) {
    const { embeddings } = await embedMany({ model, values: ["Hello", "Hi"] });
    equal(embeddings.map((vector) => vector[0]), [5, 2]);
  }
});

await run();
