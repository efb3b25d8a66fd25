// What can be done with a turn that is over: its message edited in place, its reply asked for again.

import { onAction } from "../actions.js";
import { keep, recall } from "../memory.js";
import { problem, Turn } from "./turn.js";

/** Whoever asks anew in mid-conversation is told first what goes. */
function agreed(turn) {
  const later = turn.onwards.filter((node) => node.matches(".turn")).length - 1;
  if (!later) return true;
  return confirm(`${later === 1 ? "1 later message leaves" : `${later} later messages leave`} this conversation. Go on?`);
}

/** `redo(turn, message)` asks again, and resolves to what refused it; without a message it is the same question. */
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
