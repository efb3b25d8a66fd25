// One turn on the page: what was asked, and the reply as it is written.

import { addCopyButtons } from "../copy.js";
import { writeTime } from "../localtime.js";
import { amountText } from "./quota.js";

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export function problem(error, actionLabel = "Retry") {
  const element = document.getElementById("problem-template").content.firstElementChild.cloneNode(true);
  const [text, id] = element.querySelectorAll(".callout-body > p");
  text.textContent = error.message;
  if (error.request_id) id.textContent = `Request ${error.request_id}`;
  else id.remove();
  element.querySelector("[data-action]").textContent = actionLabel;
  element.setAttribute("role", "alert");
  return element;
}

export class Turn {
  constructor(element) {
    this.element = element;
    this.parts = element.querySelector(".reply-parts");
    this.blocks = new Map(); // of a segment's element: what it shows, block by block
  }

  /** A new turn at the end of the page, shown before the server has answered. */
  static begin(message, images = []) {
    const element = document.getElementById("turn-template").content.querySelector(".turn").cloneNode(true);
    element.querySelector(".message-text").textContent = message;
    element.querySelector(".message-images").append(...images.map((image) => image.cloneNode(true)));
    document.getElementById("turns").append(element);
    return new Turn(element);
  }

  get images() {
    return [...this.element.querySelectorAll(".message-images > li")];
  }

  get message() {
    return this.element.querySelector(".message-text").textContent;
  }

  accepted({ turn_id, events_url, stop_url, message_html }) {
    Object.assign(this.element.dataset, { turn: turn_id, events: events_url, stop: stop_url });
    const message = message_html && fragment(message_html).querySelector(".message");
    if (message) this.element.querySelector(".message").replaceWith(message);
    const time = document.createElement("time");
    time.dateTime = new Date().toISOString();
    time.dataset.form = "time";
    writeTime(time);
    this.#fact("time").replaceChildren(time);
  }

  started({ model }) {
    this.#fact("model").textContent = model;
  }

  /** The blocks from `from` on are new; those before stay as they are, so nothing flickers. */
  html({ segment, from, blocks }) {
    const text = this.#segment(segment);
    const shown = this.blocks.get(text) ?? [...text.children].map((block) => [block]);
    this.blocks.set(text, shown);
    for (const node of shown.splice(from).flat()) node.remove();
    for (const html of blocks) {
      const nodes = [...fragment(html).childNodes];
      text.append(...nodes);
      shown.push(nodes);
    }
    addCopyButtons(text);
  }

  /** A text ends where a tool is called; what follows is a text of its own, behind the tool's card. */
  #segment(number) {
    const known = this.parts.querySelector(`[data-segment="${number}"]`);
    if (known) return known;
    const text = document.createElement("div");
    text.className = "reply-text prose";
    text.dataset.segment = number;
    this.parts.append(text);
    return text;
  }

  notice({ text }) {
    const line = this.element.querySelector(".reply-notice");
    line.textContent = text;
    line.hidden = !text;
  }

  error(error, actionLabel) {
    this.element.querySelector(".reply-problem").replaceChildren(problem(error, actionLabel));
  }

  usage({ input_tokens, output_tokens, total_tokens, exactness, cost }) {
    const tokens = this.#fact("tokens");
    const figures = [`${input_tokens.toLocaleString("en")} in`, `${output_tokens.toLocaleString("en")} out`];
    if (exactness && exactness !== "exact") figures.push(exactness);
    tokens.textContent = `${total_tokens.toLocaleString("en")} tokens`;
    tokens.title = figures.join(", ");
    const { currency } = document.getElementById("turns").dataset;
    this.#fact("cost").textContent = cost ? amountText({ metric: "cost", currency }, cost) : "";
  }

  /** Nothing more comes of it here, finished or not. */
  ended() {
    this.element.dataset.state = "done";
    this.element.querySelector(".reply").removeAttribute("aria-busy");
  }

  done(reason) {
    const notes = document.getElementById("finish-template").content;
    const note = notes.querySelector(`[data-reason="${CSS.escape(reason)}"]`);
    this.ended();
    this.element.querySelector(".reply-finish").replaceChildren(...(note ? [note.cloneNode(true)] : []));
    this.notice({ text: "" });
  }

  remove() {
    this.element.remove();
  }

  #fact(name) {
    return this.element.querySelector(`[data-fact=${name}]`);
  }
}
