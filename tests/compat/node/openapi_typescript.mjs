// openapi-typescript and openapi-fetch: generates types from `/v1/schema`, compiles a program with them, and runs it.

import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BASE_URL, GREETING, check, equal, run } from "./checks.mjs";

const HERE = dirname(fileURLToPath(import.meta.url)); // next to node_modules, where the program finds its packages
const FOLDER = join(HERE, "generated");
const BIN = join(HERE, "node_modules", ".bin");
const PROGRAM = `
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { env: Record<string, string> };

const client = createClient<paths, "application/json">({ // not the stream
  baseUrl: process.env.SWITCHYARD_URL,
  headers: { Authorization: \`Bearer \${process.env.SWITCHYARD_KEY}\` },
});

export async function complete(): Promise<{ content: string; tokens: number }> {
  const { data, error } = await client.POST("/v1/chat/completions", {
    body: { model: "gpt-4.1", messages: [{ role: "user", content: "Hello" }], stop: ["END"], seed: 7 },
  });
  if (!data) throw new Error(JSON.stringify(error));
  const content: string | null | undefined = data.choices[0]!.message.content;
  const tokens: number | undefined = data.usage?.prompt_tokens;
  return { content: content ?? "", tokens: tokens ?? 0 };
}

export async function models(): Promise<string[]> {
  const { data, error } = await client.GET("/v1/models");
  if (!data) throw new Error(JSON.stringify(error));
  return data.data.map((model) => model.id);
}
`;
const OPTIONS = {
  compilerOptions: {
    strict: true, noUncheckedIndexedAccess: true, skipLibCheck: true,
    module: "NodeNext", moduleResolution: "NodeNext", target: "ES2022", lib: ["ES2022", "DOM"], types: [],
  },
  files: ["program.ts"],
};

async function execute(program, ...args) {
  try {
    await promisify(execFile)(join(BIN, program), args, { cwd: FOLDER, timeout: 110_000 });
  } catch (error) {
    throw new Error(`${program}: ${error.stdout}${error.stderr}`);
  }
}
const program = () => import(join(FOLDER, "program.js"));

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER);
writeFileSync(join(FOLDER, "package.json"), JSON.stringify({ type: "module" }));
writeFileSync(join(FOLDER, "tsconfig.json"), JSON.stringify(OPTIONS));
writeFileSync(join(FOLDER, "program.ts"), PROGRAM);

check("schema generated", async () => {
  const schema = await (await fetch(`${BASE_URL}/schema?format=json`)).text();
  writeFileSync(join(FOLDER, "schema.json"), schema);
  await execute("openapi-typescript", "schema.json", "-o", "schema.d.ts");
  await execute("tsc", "-p", ".");
});

check("schema whole", async () => {
  const { content, tokens } = await (await program()).complete();
  equal([content, tokens > 0], [GREETING, true]);
});

check("schema models", async () => {
  equal((await (await program()).models()).includes("gpt-4.1"), true);
});

await run();
