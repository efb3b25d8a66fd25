// One turn on the page: the message, and the reply as it is written.

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

/** An error with its action; without an `act` the caller provides one. */
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
    this.blocks = new Map(); // a segment's element: the blocks that it shows
    this.begins = false; // whether the reply will be sent from its start
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

  /** Whether the reader asked, and so approves its tool calls. */
  get isMine() {
    return "mine" in this.element.dataset;
  }

  get message() {
    return this.element.querySelector(".message-text").textContent;
  }

  /** The turn and everything after it on the page. */
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

  /** The reply will be sent from its start: the page was loaded meanwhile, or the connection was lost. */
  started({ model }) {
    this.#fact("model").textContent = model;
    this.begins = true;
  }

  /** All of the reply so far was withdrawn; the whole reply follows. */
  replace() {
    this.parts.replaceChildren();
    this.extras({ html: "" });
    this.begins = false;
  }

  /** The images and sources of the reply so far. */
  extras({ html }) {
    this.element.querySelector(".reply-extras").replaceChildren(fragment(html));
  }

  /** The next part of the reply; the first one replaces what was shown, so nothing appears twice. */
  add(part) {
    if (this.begins) this.parts.replaceChildren();
    this.begins = false;
    this.parts.append(part);
  }

  /** Replaces the blocks from `from` on; earlier ones stay, so nothing flickers. */
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

  /** A tool call ends a text segment; the next one starts after the tool's card. */
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

  /** No more events follow, finished or not; `untold` is the state of tools without a result. */
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
