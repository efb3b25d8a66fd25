// What can be done with a turn that is over: its message edited in place, its reply asked for again.

import { onAction } from "../actions.js";
import { Turn } from "./turn.js";

/** `redo(turn, message)` asks again; without a message it is the same question. */
export function offerRedo(composer, redo) {
  onAction("regenerate", (button) => {
    if (!composer.busy) redo(new Turn(button.closest(".turn")), null);
  });
  onAction("edit-message", (button) => {
    const turn = button.closest(".turn");
    if (composer.busy || turn.querySelector(".message-edit")) return;
    const message = turn.querySelector(".message");
    const form = document.getElementById("edit-template").content.firstElementChild.cloneNode(true);
    const area = form.querySelector("textarea");
    const close = () => {
      form.remove();
      message.hidden = false;
      button.focus();
    };
    area.value = turn.querySelector(".message-text").textContent;
    form.querySelector("[data-part=cancel]").addEventListener("click", close);
    form.addEventListener("keydown", (event) => event.key === "Escape" && close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = area.value.trim();
      if (!text || composer.busy) return;
      close();
      redo(new Turn(turn), text);
    });
    message.hidden = true;
    message.after(form);
    area.focus();
  });
  onAction("copy-message", (button) => {
    navigator.clipboard?.writeText(button.closest(".turn").querySelector(".message-text").textContent);
  });
}
