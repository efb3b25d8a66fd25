// Actions of a finished turn: edit its message in place, regenerate its reply.

import { onAction } from "../actions.js";
import { keep, recall } from "../memory.js";
import { problem, Turn } from "./turn.js";

/** Asks first if later messages would be removed. */
function agreed(turn) {
  const later = turn.onwards.filter((node) => node.matches(".turn")).length - 1;
  if (!later) return true;
  return confirm(`This removes ${later} later message${later === 1 ? "" : "s"}. Continue?`);
}

/** `redo(turn, message)` sends again, and resolves to the error if refused; null sends the same message. */
export function offerRedo(composer, redo) {
  async function again(button) {
    const turn = new Turn(button.closest(".turn"));
    if (composer.busy || !agreed(turn)) return;
    const error = await redo(turn, null);
    if (error) turn.error(error);
  }

  function edit(turn, text, error) {
    const message = turn.element.querySelector(".message");
    const draft = `draft:edit:${turn.element.dataset.turn}`;
    const form = document.getElementById("edit-template").content.firstElementChild.cloneNode(true);
    const area = form.querySelector("textarea");
    const close = () => {
      form.remove();
      message.hidden = false;
    };
    const cancel = () => {
      keep(draft, null);
      close();
      turn.element.querySelector("[data-action=edit-message]").focus();
    };
    area.value = text;
    if (error) area.after(problem(error, null));
    form.querySelector("[data-part=cancel]").addEventListener("click", cancel);
    form.addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && cancel());
    form.addEventListener("input", () => keep(draft, area.value));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const edited = area.value.trim();
      if (!edited || composer.busy || !agreed(turn)) return;
      close();
      const refusal = await redo(turn, edited);
      if (refusal) edit(turn, edited, refusal);
      else keep(draft, null);
    });
    message.hidden = true;
    message.after(form);
    area.focus();
  }

  onAction("regenerate", again);
  onAction("retry", again);
  onAction("edit-message", (button) => {
    const turn = new Turn(button.closest(".turn"));
    if (composer.busy || turn.element.querySelector(".message-edit")) return;
    edit(turn, recall(`draft:edit:${turn.element.dataset.turn}`) ?? turn.message, null);
  });
}
