// One turn on the page: what was asked, and the reply as it is written.

import { addCopyButtons } from "../copy.js";
import { writeTime } from "../localtime.js";
import { wordsOf } from "./post.js";
import { amountText } from "./quota.js";
import { settleCards } from "./tools.js";

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

const LASTING = "history_restored"; // the kind of notice that stays when the reply is finished
const RETRY = { label: "Retry", action: "retry" };

/** What went wrong, with what can be done about it; without an `act` its place offers that. */
export function problem(error, act = RETRY) {
  const element = document.getElementById("problem-template").content.firstElementChild.cloneNode(true);
  const [text, id] = element.querySelectorAll(".callout-body > p");
  text.textContent = wordsOf(error);
  if (error.request_id) id.textContent = `Request ${error.request_id}`;
  else id.remove();
  const button = element.querySelector("[data-action]");
  if (act) Object.assign(button, { textContent: act.label }).dataset.action = act.action;
  else button.parentElement.remove();
  element.setAttribute("role", "alert");
  return element;
}

export class Turn {
  constructor(element) {
    this.element = element;
    this.parts = element.querySelector(".reply-parts");
    this.blocks = new Map(); // of a segment's element: what it shows, block by block
    this.begins = false; // whether the reply is about to be told from its start
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

  /** Whether the person here asked, and so answers for its tools. */
  get isMine() {
    return "mine" in this.element.dataset;
  }

  get message() {
    return this.element.querySelector(".message-text").textContent;
  }

  /** What stands on the page from here on: the turn, and all that follows it. */
  get onwards() {
    const nodes = [];
    for (let node = this.element; node; node = node.nextElementSibling) nodes.push(node);
    return nodes;
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

  /** The reply is told from its start: on a page loaded meanwhile, or after a connection that was lost. */
  started({ model }) {
    this.#fact("model").textContent = model;
    this.begins = true;
  }

  /** All of the reply so far was withdrawn; the whole reply follows. */
  replace() {
    this.parts.replaceChildren();
    this.begins = false;
  }

  /** The next part of the reply; the first takes the place of what was told before, so nothing stands twice. */
  add(part) {
    if (this.begins) this.parts.replaceChildren();
    this.begins = false;
    this.parts.append(part);
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
    if (known && !this.begins) return known;
    const text = document.createElement("div");
    text.className = "reply-text prose";
    text.dataset.segment = number;
    this.add(text);
    return text;
  }

  /** A notice about the turn as a whole stays when the reply is finished. */
  notice({ text, kind }) {
    const line = this.element.querySelector(".reply-notice");
    if (line.dataset.kind === LASTING && kind !== LASTING) return;
    line.textContent = text;
    line.hidden = !text;
    line.dataset.kind = kind ?? "";
  }

  error(error, act) {
    this.element.querySelector(".reply-problem").replaceChildren(problem(error, act));
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

  /** Nothing more comes of it here, finished or not; `untold` is said of tools that had not answered. */
  ended(untold = "No result") {
    settleCards(this.parts, untold);
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
