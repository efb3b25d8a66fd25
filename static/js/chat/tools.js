// The tools in a reply: a card for each call, and the buttons of a call that needs approval.

import { onAction } from "../actions.js";
import { post, wordsOf } from "./post.js";

const SHOWN = 20_000; // characters of a result; the whole of it is in the API
export const WRITING = "The reply is being written.";
const ANSWERS = { refused: (turn) => (turn.isMine ? "Refused by you" : "Refused"), expired: () => "No answer in time" };

function text(value) {
  const written = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return written.length > SHOWN ? `${written.slice(0, SHOWN)}…` : written;
}

function timeOfDay(moment) {
  return new Date(moment).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function timeOf(duration) {
  if (duration == null) return "Done";
  return `${(duration / 1000).toLocaleString("en", { maximumFractionDigits: 1 })} s`;
}

function state(card, name, words) {
  card.dataset.state = name;
  card.querySelector(".tool-state").textContent = words;
}

/** Removes the approval buttons; the focus moves to the card. */
function unask(card) {
  const question = card.querySelector(".tool-ask");
  if (question?.contains(document.activeElement)) focusOn(card);
  question?.remove();
}

function focusOn(card) {
  card.querySelector("summary").focus({ preventScroll: true });
}

/** Calls that no longer wait for approval. */
export function settleCards(parts, words) {
  for (const card of parts.querySelectorAll(".tool-card:is([data-state=running], [data-state=waiting])")) {
    unask(card);
    state(card, "error", words);
  }
}

/** The handlers of a turn's events about tools. */
export function toolEvents(turn, { token, grew, say }) {
  const open = (id) => [...turn.parts.children].findLast((card) => card.dataset.call === id && card.dataset.state !== "done");

  function card({ call_id, server, tool, arguments: given }) {
    const element = document.getElementById("tool-template").content.firstElementChild.cloneNode(true);
    element.dataset.call = call_id;
    element.querySelector(".tool-server").textContent = server ?? "";
    element.querySelector(".tool-name").textContent = tool;
    element.querySelector(".tool-arguments").textContent = text(given);
    state(element, "running", "Running…");
    turn.add(element);
    grew();
  }

  function ask(element, { approval_id, expires_at }) {
    if (element.querySelector(".tool-ask")) return; // sent again by a server that took over the turn
    const question = document.getElementById("approval-template").content.firstElementChild.cloneNode(true);
    question.dataset.url = turn.element.dataset.stop.replace(/stop$/, `approvals/${approval_id}`);
    question.dataset.token = token;
    question.querySelector("time").textContent = timeOfDay(expires_at);
    element.append(question);
    element.querySelector("details").open = true; // the arguments must be visible before they are allowed
    state(element, "waiting", "Waiting for you");
    say("A tool call is waiting for your answer.");
    grew();
  }

  return {
    tool_call: card,
    tool_result({ call_id, output, is_error, duration_ms }) {
      const element = open(call_id);
      if (!element) return;
      unask(element);
      element.querySelector(".tool-output").textContent = text(output);
      const failed = ANSWERS[element.dataset.decision]?.(turn) ?? "Failed";
      state(element, is_error ? "error" : "done", is_error ? failed : timeOf(duration_ms));
      element.dataset.call = "";
      grew();
    },
    approval(data) {
      const element = open(data.call_id);
      if (element && turn.isMine) ask(element, data);
      else if (element) state(element, "waiting", "Waiting for the person who asked");
    },
    approval_resolved({ call_id, decision }) {
      const element = open(call_id);
      if (!element) return;
      unask(element);
      element.dataset.decision = decision;
      state(element, "running", ANSWERS[decision]?.(turn) ?? "Allowed");
      say(WRITING);
    },
  };
}

onAction("answer-tool", async (button) => {
  const question = button.closest(".tool-ask");
  const body = { decision: button.dataset.decision };
  focusOn(question.closest(".tool-card")); // a disabled button would lose it
  for (const other of question.querySelectorAll("button")) other.disabled = true;
  const { error } = await post(question.dataset.url, { token: question.dataset.token, body });
  if (!error) return;
  question.querySelector("p").textContent = wordsOf(error);
  if (error.code !== "approval_decided") for (const other of question.querySelectorAll("button")) other.disabled = false;
});
