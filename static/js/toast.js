// Toasts go by themselves after a while, unless they tell of an error, are pointed at, or hold the focus.

import { onAction } from "./actions.js";

const SECONDS = 6;

function retire(toast) {
  setTimeout(() => (toast.matches(":hover, :focus-within") ? retire(toast) : toast.remove()), SECONDS * 1000);
}

for (const toast of document.querySelectorAll("#toasts > .toast:not(.toast-error)")) retire(toast);

onAction("dismiss", (button) => button.closest(".toast").remove());

// Says what went wrong, and stays until it is dismissed.
export function showProblem(text) {
  const toast = document.getElementById("problem-toast").content.firstElementChild.cloneNode(true);
  toast.querySelector("p").textContent = text;
  document.getElementById("toasts").append(toast);
}
