// Prompts: / in an empty composer lists them, a form asks for their variables, the text is inserted.

import { showProblem } from "../toast.js";
import { ask } from "./post.js";

const PAUSE = 120; // milliseconds after the last key

function element(tag, fields) {
  return Object.assign(document.createElement(tag), fields);
}

export class PromptPicker {
  constructor(composer) {
    this.composer = composer;
    this.list = document.getElementById("prompt-list");
    this.dialog = document.getElementById("prompt-form");
    this.preview = this.dialog?.querySelector("[data-part=preview]");
    this.problem = this.dialog?.querySelector("[data-part=problem]");
    if (!this.list) return;
    this.prompts = [];
    this.at = 0;
    this.asked = 0;
    this.previewed = 0;
    composer.area.addEventListener("input", () => this.#typed());
    composer.area.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    composer.area.addEventListener("blur", () => setTimeout(() => this.#left(), 200));
    this.dialog.querySelector("[data-part=cancel]").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => this.#insert(event));
    this.dialog.querySelector("form").addEventListener("input", () => this.#showPreview());
    this.#typed(); // text typed before this script ran
  }

  #typed() {
    clearTimeout(this.timer);
    const text = this.composer.area.value;
    if (!/^\/\S*$/.test(text)) return this.#close();
    this.timer = setTimeout(() => this.#load(text.slice(1)), PAUSE);
  }

  async #load(find) {
    const asked = ++this.asked;
    const { data, error } = await ask(`${this.list.dataset.url}?find=${encodeURIComponent(find)}`);
    if (asked !== this.asked) return;
    if (error) return this.#failed(error);
    this.prompts = data.data;
    this.at = 0;
    const template = document.getElementById("prompt-option-template").content.firstElementChild;
    const options = this.prompts.map((prompt, index) => {
      const option = template.cloneNode(true);
      option.id = `prompt-option-${index}`;
      option.querySelector("code").textContent = `/${prompt.slug}`;
      option.querySelector("span").textContent = prompt.title;
      option.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the text
      option.addEventListener("click", () => this.#choose(prompt));
      return option;
    });
    this.list.replaceChildren(...options);
    this.list.hidden = !options.length;
    this.#mark();
  }

  #mark() {
    [...this.list.children].forEach((option, index) => option.setAttribute("aria-selected", index === this.at));
    this.list.children[this.at]?.scrollIntoView({ block: "nearest" });
    const attributes = { role: "combobox", "aria-expanded": "true", "aria-activedescendant": `prompt-option-${this.at}` };
    // Without options, it is a plain text area again.
    for (const [name, value] of Object.entries(attributes)) {
      if (this.list.hidden) this.composer.area.removeAttribute(name);
      else this.composer.area.setAttribute(name, value);
    }
  }

  /** A failed list is not reported, unless the reader is signed out: then nothing works. */
  #failed(error) {
    this.#close();
    if (error.code === "signed_out" && !this.reportedSignedOut) showProblem(error.message);
    this.reportedSignedOut = error.code === "signed_out";
  }

  #key(event) {
    if (this.list.hidden || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.at = (this.at + step + this.prompts.length) % this.prompts.length;
    else if (event.key === "Enter" || event.key === "Tab") this.#choose(this.prompts[this.at]);
    else if (event.key === "Escape") this.#close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.#mark();
  }

  #close() {
    clearTimeout(this.timer);
    this.asked += 1;
    this.list.hidden = true;
    this.#mark();
  }

  #left() {
    if (document.activeElement !== this.composer.area) this.#close();
  }

  async #choose(prompt) {
    this.#close();
    this.chosen = prompt;
    this.dialog.querySelector(".prompt-fields").replaceChildren(...prompt.variables.map(field));
    if (!prompt.variables.length) return this.#insertAtOnce();
    this.dialog.querySelector("h2").textContent = prompt.title;
    this.preview.textContent = "";
    this.problem.hidden = true;
    this.dialog.showModal();
    this.#showPreview();
  }

  /** Text typed while the prompt was loading stays, after the prompt. */
  async #insertAtOnce() {
    const { area } = this.composer;
    const before = area.value;
    const { text, error } = await this.#rendered();
    if (error) return showProblem(wordsOf(error));
    this.composer.write(area.value.startsWith(before) ? text + area.value.slice(before.length) : `${text}\n\n${area.value}`);
  }

  async #rendered() {
    const body = new FormData(this.dialog.querySelector("form"));
    const headers = { "X-CSRFToken": this.composer.token };
    const { data, error } = await ask(this.chosen.render_url, { method: "POST", headers, body });
    return { text: data?.text, error };
  }

  #showPreview() {
    clearTimeout(this.previewTimer);
    const asked = ++this.previewed;
    this.previewTimer = setTimeout(async () => {
      const isComplete = this.dialog.querySelector("form").checkValidity();
      const text = isComplete ? (await this.#rendered()).text : "";
      if (asked === this.previewed) this.preview.textContent = text ?? "";
    }, PAUSE);
  }

  async #insert(event) {
    event.preventDefault();
    const { text, error } = await this.#rendered();
    this.problem.hidden = !error;
    if (error) return (this.problem.textContent = wordsOf(error));
    this.dialog.close();
    this.composer.write(text);
  }
}

/** The text of an error, with the name of the invalid variable. */
function wordsOf({ message, details }) {
  const [name, words] = Object.entries(details ?? {})[0] ?? [];
  return Array.isArray(words) ? `${name.replace("variables.", "")}: ${words[0]}` : message;
}

function field({ name, type, label, default: preset, options, required }) {
  const row = element("label", { className: "field" });
  row.append(element("span", { textContent: label || name }));
  const value = preset ?? "";
  let input;
  if (type === "multiline") input = element("textarea", { rows: 3, value });
  else if (type === "choice" || type === "boolean") {
    input = element("select", { className: "select" });
    const choices = type === "boolean" ? ["true", "false"] : options;
    if (!required || value === "") input.append(element("option", { value: "", textContent: "" }));
    input.append(...choices.map((one) => element("option", { value: one, textContent: one, selected: one === String(value) })));
  } else input = element("input", { type: type === "number" ? "number" : "text", step: "any", value });
  input.name = name;
  input.required = required && preset == null;
  row.append(input);
  return row;
}
