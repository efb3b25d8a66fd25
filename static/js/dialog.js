// Opens dialogs from buttons with data-opens, and fills in the dialog's form.

import { onAction } from "./actions.js";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (!opener) return;
  const dialog = document.getElementById(opener.dataset.opens);
  const form = dialog.querySelector("form[method=post]");
  const input = form?.querySelector("input:not([type=hidden]), textarea");
  if (form && opener.dataset.formAction) form.action = opener.dataset.formAction;
  if (input && "formValue" in opener.dataset) input.value = opener.dataset.formValue;
  opener.closest("[popover]")?.hidePopover();
  dialog.showModal();
  input?.focus();
  input?.select();
});

onAction("close-dialog", (button) => button.closest("dialog").close());

// A click on the backdrop closes it, like Escape.
document.addEventListener("mousedown", (event) => {
  if (event.target instanceof HTMLDialogElement && event.target.open) event.target.close();
});
