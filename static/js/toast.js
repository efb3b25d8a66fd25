// Toasts disappear after a while, unless they show an error, are hovered or have the focus.

import { onAction } from "./actions.js";

const SECONDS = 6;

function retire(toast) {
  setTimeout(() => (toast.matches(":hover, :focus-within") ? retire(toast) : toast.remove()), SECONDS * 1000);
}

for (const toast of document.querySelectorAll("#toasts > .toast:not(.toast-error)")) retire(toast);

onAction("dismiss", (button) => button.closest(".toast").remove());

// Shows an error until it is dismissed.
export function showProblem(text) {
  const toast = document.getElementById("problem-toast").content.firstElementChild.cloneNode(true);
  toast.querySelector("p").textContent = text;
  document.getElementById("toasts").append(toast);
}
