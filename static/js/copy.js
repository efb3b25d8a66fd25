// Copying: a button on every code block, and whole replies as text and as formatted text.

import { onAction } from "./actions.js";
import { changeIcon, icon } from "./icons.js";

async function write(text, html) {
  if (!navigator.clipboard) return writeByCommand(text); // pages loaded over plain http
  if (!html || !window.ClipboardItem) return navigator.clipboard.writeText(text);
  const kinds = { "text/plain": text, "text/html": html };
  const blobs = Object.entries(kinds).map(([type, data]) => [type, new Blob([data], { type })]);
  return navigator.clipboard.write([new ClipboardItem(Object.fromEntries(blobs))]);
}

function writeByCommand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("The browser blocked copying.");
}

async function copy(button, text, html) {
  const label = button.querySelector("[data-label]");
  try {
    await write(text, html);
    changeIcon(button, "check");
    if (label) label.textContent = "Copied";
  } catch {
    changeIcon(button, "alert");
    if (label) label.textContent = "Not copied";
  }
  setTimeout(() => {
    changeIcon(button, "copy");
    if (label) label.textContent = "Copy";
  }, 1600);
}

export function addCopyButtons(root) {
  for (const head of root.querySelectorAll(".code-head:not(:has(button))")) {
    const button = document.createElement("button");
    const label = document.createElement("span");
    button.type = "button";
    button.className = "button button-quiet";
    button.dataset.action = "copy-code";
    label.dataset.label = "";
    label.textContent = "Copy";
    button.append(icon("copy"), label);
    head.append(button);
  }
}

function textOf(block) {
  if (!block.matches(".code-block")) return block.innerText.trim();
  const language = block.querySelector(".code-head > span")?.textContent ?? "";
  return `\`\`\`${language}\n${block.querySelector("pre").textContent.trimEnd()}\n\`\`\``;
}

function htmlOf(reply) {
  const plain = reply.cloneNode(true);
  for (const head of plain.querySelectorAll(".code-head")) head.remove();
  return plain.innerHTML;
}

onAction("copy-code", (button) => copy(button, button.closest(".code-block").querySelector("pre").textContent));

onAction("copy-message", (button) => copy(button, button.closest(".turn").querySelector(".message-text").textContent));

onAction("copy-reply", (button) => {
  const texts = [...button.closest(".reply").querySelectorAll(".reply-text")];
  const blocks = texts.flatMap((text) => [...text.children]);
  copy(button, blocks.map(textOf).join("\n\n"), texts.map(htmlOf).join(""));
});
