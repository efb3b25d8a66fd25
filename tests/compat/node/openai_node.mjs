// OpenAI's library for Node: chat completions, Responses, embeddings and models.

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  BASE_URL, CLAUDE, GREETING, KEY, LONG_TEXT, MODEL, PIXEL, QUESTION, RETRY_AFTER, SPENT_KEY, WEATHER,
  check, equal, ok, refusal, requestsFor, run, waits,
} from "./checks.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: KEY, timeout: 30_000 });
const impatient = client.withOptions({ maxRetries: 0 });
let sent = 0; // requests of the client without a budget, retries included
const counting = (...request) => (sent++, fetch(...request));
const spent = new OpenAI({ baseURL: BASE_URL, apiKey: SPENT_KEY, timeout: 30_000, fetch: counting });

/** A rate-limit error that the library does not retry. */
async function refusedOnce(work) {
  sent = 0;
  const error = await refusal(work);
  ok(error instanceof OpenAI.RateLimitError, String(error));
  equal(sent, 1);
  return error;
}

const HELLO = [{ role: "user", content: "Hello" }];
const ASKED = [{ role: "user", content: QUESTION }];
const Report = z.object({ city: z.string(), degrees: z.number() });
const PARAMETERS = {
  type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false,
};
const PIXEL_URL = `data:image/png;base64,${PIXEL}`;
const chat = (more = {}) => ({ model: MODEL, messages: HELLO, ...more });

check("models list", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  ok(ids.includes(MODEL) && ids.includes(CLAUDE), ids.join());
});

check("chat whole", async () => {
  const answer = await client.chat.completions.create(chat());
  equal([answer.choices[0].message.content, answer.choices[0].finish_reason], [GREETING, "stop"]);
  ok(answer.usage.prompt_tokens > 0);
});

check("chat stream", async () => {
  const pieces = [];
  for await (const chunk of await client.chat.completions.create(chat({ stream: true })))
    if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
  equal(pieces.join(""), GREETING);
  ok(pieces.length > 1, "the answer arrived in one piece");
});

check("chat tools", async () => {
  for (const model of [MODEL, CLAUDE]) {
    const asked = [];
    const get_weather = { name: "get_weather", parameters: PARAMETERS, parse: JSON.parse, function: (args) => (asked.push(args), "21") };
    const tools = [{ type: "function", function: get_weather }];
    for (const stream of [false, true]) {
      const runner = client.chat.completions.runTools({ model, messages: ASKED, tools, stream });
      equal(await runner.finalContent(), WEATHER);
    }
    equal(asked, [{ city: "Paris" }, { city: "Paris" }]);
  }
});

check("chat structured output", async () => {
  const answer = await client.chat.completions.parse(
    chat({ messages: ASKED, response_format: zodResponseFormat(Report, "report") }),
  );
  equal(answer.choices[0].message.parsed.city, "Paris");
});

check("chat images", async () => {
  const content = [{ type: "text", text: "How many?" }, { type: "image_url", image_url: { url: PIXEL_URL } }];
  const answer = await client.chat.completions.create(chat({ messages: [{ role: "user", content }] }));
  equal(answer.choices[0].message.content, "I see 1 image(s).");
});

check("chat bad parameter", async () => {
  for (const wrong of [{ temperature: 5 }, { top_p: 7 }]) {
    const error = await refusal(() => client.chat.completions.create(chat(wrong)));
    ok(error instanceof OpenAI.BadRequestError, String(error));
    equal(error.param, Object.keys(wrong)[0]);
  }
});

check("chat unknown model", async () => {
  const error = await refusal(() => client.chat.completions.create(chat({ model: "gpt-9" })));
  ok(error instanceof OpenAI.NotFoundError, String(error));
  equal(error.code, "model_not_found");
});

check("chat context overflow", async () => {
  for (const model of ["local", "overflow", "claude-overflow"]) {
    const messages = [{ role: "user", content: LONG_TEXT }];
    const error = await refusal(() => client.chat.completions.create({ model, messages }));
    ok(error instanceof OpenAI.BadRequestError, String(error));
    equal(error.code, "context_length_exceeded");
  }
});

check("chat rate limit", async () => {
  const error = await refusal(() => impatient.chat.completions.create(chat({ model: "busy" })));
  ok(error instanceof OpenAI.RateLimitError, String(error));
  equal(Number(error.headers.get("retry-after")), RETRY_AFTER);
});

check("chat retry", async () => {
  const ask = () => client.chat.completions.create(chat({ model: "busy-once" }));
  const answer = await waits(ask);
  equal(answer.choices[0].message.content, GREETING);
  equal((await requestsFor("busy-once")).length, 2);
});

check("chat spent budget", async () => {
  const error = await refusedOnce(() => spent.chat.completions.create(chat()));
  equal(error.type, "insufficient_quota");
  equal(await requestsFor(MODEL), []);
});

check("responses whole", async () => {
  for (const model of [MODEL, CLAUDE]) {
    const answer = await client.responses.create({ model, input: "Hello", instructions: "Be brief." });
    equal([answer.output_text, answer.status], [GREETING, "completed"]);
    ok(answer.usage.input_tokens > 0);
  }
});

check("responses stream", async () => {
  const pieces = [];
  let last;
  for await (const event of await client.responses.create({ model: MODEL, input: "Hello", stream: true })) {
    if (event.type === "response.output_text.delta") pieces.push(event.delta);
    last = event;
  }
  equal([pieces.join(""), last.type], [GREETING, "response.completed"]);
  const stream = client.responses.stream({ model: CLAUDE, input: "Hello" });
  equal((await stream.finalResponse()).output_text, GREETING);
});

check("responses tools", async () => {
  const tools = [{ type: "function", name: "get_weather", parameters: PARAMETERS, strict: true }];
  for (const model of [MODEL, CLAUDE]) {
    const first = await client.responses.stream({ model, input: ASKED, tools }).finalResponse();
    const call = first.output.find((item) => item.type === "function_call");
    equal([call.name, JSON.parse(call.arguments)], ["get_weather", { city: "Paris" }]);
    const result = { type: "function_call_output", call_id: call.call_id, output: "21" };
    const again = await client.responses.create({ model, input: [...ASKED, ...first.output, result], tools });
    equal(again.output_text, WEATHER);
  }
});

check("responses structured output", async () => {
  const answer = await client.responses.parse({
    model: MODEL, input: QUESTION, text: { format: zodTextFormat(Report, "report") },
  });
  equal(answer.output_parsed.city, "Paris");
});

check("responses images", async () => {
  const content = [{ type: "input_text", text: "How many?" }, { type: "input_image", image_url: PIXEL_URL, detail: "auto" }];
  const answer = await client.responses.create({ model: MODEL, input: [{ role: "user", content }] });
  equal(answer.output_text, "I see 1 image(s).");
});

check("responses state", async () => {
  const first = await client.responses.create({ model: MODEL, input: "My name is Ada." });
  await client.responses.create({ model: MODEL, input: "Hello", previous_response_id: first.id });
  ok(JSON.stringify((await requestsFor(MODEL)).at(-1).body.messages).includes("My name is Ada."));
  equal((await client.responses.retrieve(first.id)).output_text, GREETING);
  await client.responses.delete(first.id);
  ok((await refusal(() => client.responses.retrieve(first.id))) instanceof OpenAI.NotFoundError);
});

check("responses bad parameter", async () => {
  const error = await refusal(() => client.responses.create({ model: MODEL, input: "Hello", temperature: 5 }));
  ok(error instanceof OpenAI.BadRequestError, String(error));
  equal(error.param, "temperature");
});

check("responses unknown model", async () => {
  const error = await refusal(() => client.responses.create({ model: "gpt-9", input: "Hello" }));
  ok(error instanceof OpenAI.NotFoundError, String(error));
  equal(error.code, "model_not_found");
});

check("responses context overflow", async () => {
  const error = await refusal(() => client.responses.create({ model: "overflow", input: LONG_TEXT }));
  ok(error instanceof OpenAI.BadRequestError, String(error));
  equal(error.code, "context_length_exceeded");
});

check("responses rate limit", async () => {
  const error = await refusal(() => impatient.responses.create({ model: "busy", input: "Hello" }));
  ok(error instanceof OpenAI.RateLimitError, String(error));
  equal(Number(error.headers.get("retry-after")), RETRY_AFTER);
});

check("responses retry", async () => {
  const ask = () => client.responses.create({ model: "busy-once", input: "Hello" });
  equal((await waits(ask)).output_text, GREETING);
  equal((await requestsFor("busy-once")).length, 2);
});

check("responses spent budget", async () => {
  await refusedOnce(() => spent.responses.create({ model: MODEL, input: "Hello" }));
});

check("embeddings whole", async () => {
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: ["Hello", "Hi"] });
  equal(answer.data.map((row) => row.embedding[0]), [5, 2]);
});

check("embeddings unknown model", async () => {
  const error = await refusal(() => client.embeddings.create({ model: "gpt-9", input: "Hello" }));
  ok(error instanceof OpenAI.NotFoundError, String(error));
  equal(error.code, "model_not_found");
});

await run();
