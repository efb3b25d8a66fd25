// The tools in a reply: a quiet card for each call, and the question where a person has to allow it.

import { onAction } from "../actions.js";
import { post } from "./post.js";

const SHOWN = 20_000; // characters of a result; the whole of it is in the API

function text(value) {
  const written = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return written.length > SHOWN ? `${written.slice(0, SHOWN)}…` : written;
}

/** The functions for a turn's events that tell of tools. */
export function toolEvents(turn, token, changed) {
  const list = turn.parts;
  const open = (id) => [...list.children].findLast((card) => card.dataset.call === id && card.dataset.state !== "done");

  function card({ call_id, server, tool, arguments: given }) {
    const element = document.getElementById("tool-template").content.firstElementChild.cloneNode(true);
    element.dataset.call = call_id;
    element.querySelector(".tool-server").textContent = server ?? "";
    element.querySelector(".tool-name").textContent = tool;
    element.querySelector(".tool-arguments").textContent = text(given);
    state(element, "running", "Running…");
    list.append(element);
    changed();
  }

  function state(element, name, words) {
    element.dataset.state = name;
    element.querySelector(".tool-state").textContent = words;
  }

  function ask(element, { approval_id }) {
    if (element.querySelector(".tool-ask")) return; // told again by a server that took the turn over
    const question = document.getElementById("approval-template").content.firstElementChild.cloneNode(true);
    question.dataset.url = turn.element.dataset.stop.replace(/stop$/, `approvals/${approval_id}`);
    question.dataset.token = token;
    element.append(question);
    element.querySelector("details").open = true; // nobody allows what they have not seen
    state(element, "waiting", "Waits for you");
    changed();
  }

  return {
    tool_call: card,
    tool_result({ call_id, output, is_error, duration_ms }) {
      const element = open(call_id);
      if (!element) return;
      element.querySelector(".tool-output").textContent = text(output);
      const seconds = (duration_ms / 1000).toLocaleString("en", { maximumFractionDigits: 1 });
      state(element, is_error ? "error" : "done", is_error ? "Failed" : `${seconds} s`);
      element.dataset.call = "";
      changed();
    },
    approval(data) {
      const element = open(data.call_id);
      if (element) ask(element, data);
    },
    approval_resolved({ call_id, decision }) {
      const element = open(call_id);
      if (!element) return;
      element.querySelector(".tool-ask")?.remove();
      state(element, "running", { allowed: "Allowed", refused: "Refused" }[decision] ?? "Nobody answered");
    },
  };
}

onAction("answer-tool", async (button) => {
  const question = button.closest(".tool-ask");
  for (const other of question.querySelectorAll("button")) other.disabled = true;
  const body = { decision: button.dataset.decision };
  const { error } = await post(question.dataset.url, { token: question.dataset.token, body });
  if (!error) return;
  question.querySelector("p").textContent = error.message;
  if (error.code !== "approval_decided") for (const other of question.querySelectorAll("button")) other.disabled = false;
});
