// Images attached to a message: chosen, pasted or dropped, uploaded immediately, shown as thumbnails until sent.

import { ask, post, wordsOf } from "./post.js";

const MOST = 8;
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"]; // the server checks the bytes itself
const STRANGE = "Choose a PNG, JPEG, WebP or GIF image.";
const GONE = "This image is no longer stored. Attach it again.";

export class Attachments {
  constructor(form, changed) {
    this.form = form;
    this.changed = changed;
    this.list = form.querySelector("[data-part=images]");
    this.input = form.querySelector("[data-part=image-files]");
    this.button = form.querySelector("[data-action=attach]");
    this.model = form.elements.model;
    this.leaving = []; // sent, and not yet accepted by the server
    if (!this.input) return;
    this.button.addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => this.#add(this.input.files));
    form.elements.message.addEventListener("paste", (event) => this.#pasted(event));
    const main = form.closest("main");
    for (const kind of ["dragover", "drop"]) {
      main.addEventListener(kind, (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
    }
    main.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
    this.model?.addEventListener("change", () => this.#modelChanged());
    this.#modelChanged();
  }

  /** Whether the chosen model can see images. */
  get seen() {
    return this.model?.selectedOptions[0]?.dataset.images === "1";
  }

  get ids() {
    return this.#ready.map((item) => item.dataset.image);
  }

  get uploading() {
    return Boolean(this.list?.querySelector("[data-state=uploading]"));
  }

  get #ready() {
    return [...(this.list?.children ?? [])].filter((item) => item.dataset.image);
  }

  /** Their state for the draft; `restore` shows them again. */
  get kept() {
    return [...this.leaving, ...this.#ready].map((item) => item.dataset.image).join(" ");
  }

  restore(stored) {
    if (!this.input) return;
    for (const id of stored.split(" ").filter(Boolean)) {
      const item = this.#item("Image in this message");
      const url = `${this.list.dataset.url}/${id}`;
      item.querySelector("img").addEventListener("error", async () => {
        const answer = await fetch(url).catch(() => null); // a lost connection does not mean that it is gone
        if (answer?.status === 404) this.#refuse(item, GONE);
      });
      this.#show(item, { id, url });
    }
  }

  /** They are sent with the message, and restored if it is refused. */
  handOver() {
    this.leaving = this.#ready;
    this.list?.replaceChildren();
    this.changed();
  }

  accepted() {
    this.leaving = [];
  }

  takeBack() {
    this.list?.prepend(...this.leaving);
    this.leaving = [];
    this.changed();
  }

  #modelChanged() {
    this.button.disabled = !this.seen;
    this.changed();
  }

  /** Copying from a spreadsheet or document puts text and an image of it on the clipboard; the text is meant. */
  #pasted(event) {
    if (this.seen && !event.clipboardData?.types.includes("text/plain")) this.#take(event, event.clipboardData);
  }

  #take(event, data) {
    const files = [...(data?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (!files.length) return;
    event.preventDefault();
    this.#add(files);
  }

  #add(files) {
    for (const file of [...files].slice(0, MOST - this.list.children.length)) this.#upload(file);
    this.input.value = "";
  }

  #item(name) {
    const item = document.getElementById("image-template").content.firstElementChild.cloneNode(true);
    item.querySelector("[data-part=remove]").addEventListener("click", () => this.#remove(item));
    item.querySelector("img").alt = name;
    this.list.append(item);
    return item;
  }

  async #upload(file) {
    const item = this.#item(file.name);
    this.changed();
    if (!this.seen) return this.#refuse(item, "This model cannot see images.");
    if (!TYPES.includes(file.type)) return this.#refuse(item, STRANGE);
    const headers = { "X-CSRFToken": this.#token, "Content-Type": file.type };
    const { data, error } = await ask(this.list.dataset.url, { method: "POST", headers, body: file });
    if (error) this.#refuse(item, wordsOf(error));
    else if (item.isConnected) this.#show(item, data);
    else this.#discard(data.id); // removed before the upload finished
  }

  #show(item, { id, url }) {
    item.dataset.image = id;
    item.dataset.state = "ready";
    item.querySelector("img").src = url;
    this.#say(item, "");
  }

  #refuse(item, words) {
    delete item.dataset.image;
    item.dataset.state = "refused";
    this.#say(item, words);
  }

  #say(item, words) {
    item.querySelector("[data-part=words]").textContent = words;
    this.changed();
  }

  #remove(item) {
    if (item.dataset.image) this.#discard(item.dataset.image);
    item.remove();
    this.changed();
    this.form.elements.message.focus();
  }

  #discard(id) {
    post(`${this.list.dataset.url}/${id}/discard`, { token: this.#token });
  }

  get #token() {
    return this.form.elements.csrfmiddlewaretoken.value;
  }
}

/** The images of a message on the page. */
export function imagesOf(element) {
  return [...element.querySelectorAll(".message-images img")].map((image) => image.dataset.image);
}
