// Images beside a message: chosen, pasted or dropped, uploaded at once, shown small until they are sent.

import { post } from "./post.js";

const MOST = 8;
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"]; // the server looks for itself
const STRANGE = "Choose a PNG, JPEG, WebP or GIF picture.";
const UNREACHABLE = "The server could not be reached.";

export class Attachments {
  constructor(form, changed) {
    this.form = form;
    this.changed = changed;
    this.list = form.querySelector("[data-part=images]");
    this.input = form.querySelector("[data-part=image-files]");
    this.button = form.querySelector("[data-action=attach]");
    this.model = form.elements.model;
    if (!this.input) return;
    this.button.addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => this.#add(this.input.files));
    form.elements.message.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    const main = form.closest("main");
    main.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
    main.addEventListener("drop", (event) => this.#take(event, event.dataTransfer));
    this.model?.addEventListener("change", () => this.#modelChanged());
    this.#modelChanged();
  }

  /** Whether the chosen model can look at images. */
  get seen() {
    return this.model?.selectedOptions[0]?.dataset.images === "1";
  }

  get ids() {
    return [...(this.list?.children ?? [])].map((item) => item.dataset.image).filter(Boolean);
  }

  get uploading() {
    return Boolean(this.list?.querySelector("[data-state=uploading]"));
  }

  /** They leave with the message; what is returned puts them back if it is refused. */
  handOver() {
    const items = [...(this.list?.children ?? [])].filter((item) => item.dataset.image);
    this.list?.replaceChildren();
    this.changed();
    return () => {
      this.list?.replaceChildren(...items);
      this.changed();
    };
  }

  #modelChanged() {
    this.button.disabled = !this.seen;
    this.changed();
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

  async #upload(file) {
    const item = document.getElementById("image-template").content.firstElementChild.cloneNode(true);
    const say = (words) => Object.assign(item.querySelector("[data-part=words]"), { textContent: words });
    item.querySelector("[data-part=remove]").addEventListener("click", () => this.#remove(item));
    item.querySelector("img").alt = file.name;
    this.list.append(item);
    this.changed();
    const problem = !this.seen ? "This model cannot see images." : TYPES.includes(file.type) ? "" : STRANGE;
    if (problem) {
      item.dataset.state = "refused";
      say(problem);
      return this.changed();
    }
    const headers = { "X-CSRFToken": this.form.elements.csrfmiddlewaretoken.value, "Content-Type": file.type };
    const answer = await fetch(this.list.dataset.url, { method: "POST", headers, body: file }).catch(() => null);
    const data = await answer?.json().catch(() => null);
    if (answer?.ok && data) {
      item.dataset.image = data.id;
      item.dataset.state = "ready";
      item.querySelector("img").src = data.url;
      say("");
    } else {
      item.dataset.state = "refused";
      say(data?.error?.details?.image?.[0] ?? data?.error?.message ?? UNREACHABLE);
    }
    this.changed();
  }

  #remove(item) {
    const url = `${this.list.dataset.url}/${item.dataset.image}/discard`;
    if (item.dataset.image) post(url, { token: this.form.elements.csrfmiddlewaretoken.value });
    item.remove();
    this.changed();
    this.form.elements.message.focus();
  }
}

/** The images of a message that stands on the page. */
export function imagesOf(element) {
  return [...element.querySelectorAll(".message-images img")].map((image) => image.dataset.image);
}
