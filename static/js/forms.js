// Forms: the focus goes to the first wrong or empty field, passwords can be shown, nothing is sent twice.

import { onAction } from "./actions.js";
import { changeIcon } from "./icons.js";
import { forgetAll } from "./memory.js";

function firstToFill() {
  const inputs = [...document.querySelectorAll("form[data-focus] input:not([type=hidden], [type=checkbox])")];
  return matchMedia("(pointer: fine)").matches ? inputs.find((input) => !input.value) : null;
}

(document.querySelector("[aria-invalid=true]") ?? firstToFill())?.focus();

onAction("reveal", (button) => {
  const input = button.parentElement.querySelector("input");
  const hidden = input.type === "password";
  input.type = hidden ? "text" : "password";
  button.setAttribute("aria-pressed", String(hidden));
  changeIcon(button, hidden ? "eye-off" : "eye");
  input.focus();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) return event.preventDefault();
  form.dataset.sent = "yes";
  // Drafts belong to the person who signs out, not to the next user of this browser.
  if ("signsOut" in form.dataset) forgetAll("draft:");
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A select that submits its form immediately.
document.addEventListener("change", (event) => {
  if (event.target.form?.matches("[data-submits]")) event.target.form.requestSubmit();
});
