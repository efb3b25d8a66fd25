// Forms: the focus goes to the first wrong or empty field, a password can be seen, nothing is sent twice.

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
  // What was being written belongs to whoever signs out, not to who sits here next.
  if ("signsOut" in form.dataset) forgetAll("draft:");
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A choice that counts as soon as it is made.
document.addEventListener("change", (event) => {
  if (event.target.form?.matches("[data-submits]")) event.target.form.requestSubmit();
});
