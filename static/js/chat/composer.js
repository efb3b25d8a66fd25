// The composer: grows with its text, sends on Enter, and never loses what was written.

import { keep, recall } from "../memory.js";
import { Attachments } from "./images.js";

export class Composer {
  constructor(form, onSend) {
    this.form = form;
    this.area = form.elements.message;
    this.images = new Attachments(form, () => this.isReady && this.#changed());
    this.send = form.querySelector("[data-testid=send]");
    this.stop = form.querySelector("[data-testid=stop]");
    this.waiting = ""; // sent, and not yet accepted by the server
    this.busy = false;
    this.isReady = false; // the draft is read before it is written
    this.area.addEventListener("input", () => this.#changed());
    this.area.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("change", () => this.#countTools());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.busy && this.text && !this.images.uploading) onSend(this.text);
    });
    if (!this.area.value) this.area.value = recall(this.#draft) ?? "";
    this.images.restore(recall(this.#imagesDraft) ?? "");
    this.isReady = true;
    this.#countTools();
    this.#changed();
    if (matchMedia("(pointer: fine)").matches) this.area.focus();
  }

  get text() {
    return this.area.value.trim();
  }

  get conversation() {
    return this.form.elements.conversation_id.value;
  }

  set conversation(id) {
    keep(this.#draft, null);
    keep(this.#imagesDraft, null);
    this.form.elements.conversation_id.value = id;
  }

  get model() {
    return this.form.elements.model.value;
  }

  /** The selected servers, if the chosen model can use tools; the selection survives a change of model. */
  get mcps() {
    const ticked = this.#usesTools ? this.form.querySelectorAll("[name=mcps]:checked") : [];
    return [...ticked].map((box) => box.value);
  }

  /** Shows the number of selected servers without opening the menu. */
  #countTools() {
    const count = this.form.querySelector(".composer-count");
    if (!count) return;
    count.textContent = this.mcps.length || "";
    this.form.querySelector(".composer-unable").hidden = this.#usesTools;
  }

  get #usesTools() {
    return this.form.elements.model?.selectedOptions[0]?.dataset.tools === "1";
  }

  get token() {
    return this.form.elements.csrfmiddlewaretoken.value;
  }

  write(text) {
    this.area.value = text;
    this.area.focus();
    this.area.setSelectionRange(text.length, text.length);
    this.#changed();
  }

  /** The text is being sent, and stays in the draft until the server has it. */
  handOver(text) {
    this.waiting = text;
    this.images.handOver();
    if (this.text === text) this.area.value = "";
    this.wait();
  }

  /** Blocks sending until the server has answered. */
  wait() {
    this.busy = true;
    this.#changed();
  }

  accepted() {
    this.waiting = "";
    this.images.accepted();
    this.#changed();
  }

  refused() {
    const text = [this.waiting, this.area.value].filter(Boolean).join("\n\n");
    this.waiting = "";
    this.images.takeBack();
    this.busy = false;
    this.write(text);
  }

  /** The person who asked can stop the reply; others wait. */
  replyRuns(runs, isMine = true) {
    this.busy = runs;
    this.send.hidden = runs && isMine;
    this.stop.hidden = !runs || !isMine;
    this.stop.disabled = false;
    this.#changed();
  }

  get #draft() {
    return `draft:${this.conversation || this.form.action}`;
  }

  get #imagesDraft() {
    return `${this.#draft}:images`;
  }

  #changed() {
    this.send.disabled = this.busy || !this.text || this.images.uploading;
    keep(this.#draft, [this.waiting, this.area.value].filter(Boolean).join("\n\n"));
    keep(this.#imagesDraft, this.images.kept);
    if (CSS.supports("field-sizing", "content")) return;
    this.area.style.height = "auto";
    this.area.style.height = `${this.area.scrollHeight}px`;
  }

  #key(event) {
    // During input method composition, Enter chooses a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    if (matchMedia("(pointer: coarse)").matches && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.form.requestSubmit();
  }
}
