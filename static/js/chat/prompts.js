// A slash in an empty composer: the prompts of the workspace, a small form for one's values, the text inserted.

const PAUSE = 120; // milliseconds after the last key

function element(tag, fields) {
  return Object.assign(document.createElement(tag), fields);
}

export class PromptPicker {
  constructor(composer) {
    this.composer = composer;
    this.list = document.getElementById("prompt-list");
    this.dialog = document.getElementById("prompt-form");
    if (!this.list) return;
    this.prompts = [];
    this.at = 0;
    this.asked = 0;
    this.previewed = 0;
    composer.area.addEventListener("input", () => this.#typed());
    composer.area.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    composer.area.addEventListener("blur", () => setTimeout(() => this.#close(), 200));
    this.dialog.querySelector("[data-part=cancel]").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => this.#insert(event));
    this.dialog.querySelector("form").addEventListener("input", () => this.#preview());
    this.#typed(); // whoever was faster than this script
  }

  #typed() {
    clearTimeout(this.timer);
    const text = this.composer.area.value;
    if (!/^\/\S*$/.test(text)) return this.#close();
    this.timer = setTimeout(() => this.#load(text.slice(1)), PAUSE);
  }

  async #load(find) {
    const asked = ++this.asked;
    const answer = await fetch(`${this.list.dataset.url}?find=${encodeURIComponent(find)}`).catch(() => null);
    if (!answer?.ok || asked !== this.asked) return;
    this.prompts = (await answer.json()).data;
    this.at = 0;
    const template = document.getElementById("prompt-option-template").content.firstElementChild;
    const options = this.prompts.map((prompt, index) => {
      const option = template.cloneNode(true);
      option.id = `prompt-option-${index}`;
      option.querySelector("code").textContent = `/${prompt.slug}`;
      option.querySelector("span").textContent = prompt.title;
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        this.#choose(prompt);
      });
      return option;
    });
    this.list.replaceChildren(...options);
    this.list.hidden = !options.length;
    this.#mark();
  }

  #mark() {
    [...this.list.children].forEach((option, index) => option.setAttribute("aria-selected", index === this.at));
    if (this.list.hidden) this.composer.area.removeAttribute("aria-activedescendant");
    else this.composer.area.setAttribute("aria-activedescendant", `prompt-option-${this.at}`);
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

  async #choose(prompt) {
    this.#close();
    this.chosen = prompt;
    if (!prompt.variables.length) return this.composer.write((await this.#rendered()).text ?? "");
    this.dialog.querySelector("h2").textContent = prompt.title;
    this.dialog.querySelector(".prompt-fields").replaceChildren(...prompt.variables.map(field));
    this.dialog.showModal();
    this.#preview();
  }

  async #rendered() {
    const body = new FormData(this.dialog.querySelector("form"));
    const headers = { "X-CSRFToken": this.composer.token };
    const answer = await fetch(this.chosen.render_url, { method: "POST", headers, body }).catch(() => null);
    return (await answer?.json().catch(() => null)) ?? { error: { message: "The server could not be reached." } };
  }

  #preview() {
    clearTimeout(this.previewTimer);
    this.previewTimer = setTimeout(async () => {
      const asked = ++this.previewed;
      const { text } = await this.#rendered();
      if (text !== undefined && asked === this.previewed) this.dialog.querySelector("[data-part=preview]").textContent = text;
    }, PAUSE);
  }

  async #insert(event) {
    event.preventDefault();
    const { text, error } = await this.#rendered();
    const problem = this.dialog.querySelector("[data-part=problem]");
    problem.hidden = !error;
    if (error) {
      const [name, words] = Object.entries(error.details ?? {})[0] ?? ["", [error.message]];
      problem.textContent = name ? `${name.replace("variables.", "")}: ${words[0]}` : words[0];
      return;
    }
    this.dialog.close();
    this.composer.write(text);
  }
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
  row.append(input);
  return row;
}
