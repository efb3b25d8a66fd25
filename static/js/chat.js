// The chat page: sends messages, follows the running reply, stops it, retries.

import { onAction } from "./actions.js";
import { Composer } from "./chat/composer.js";
import { imagesOf } from "./chat/images.js";
import { newKey, post } from "./chat/post.js";
import { showQuota } from "./chat/quota.js";
import { PromptPicker } from "./chat/prompts.js";
import { offerRedo } from "./chat/redo.js";
import { Follower } from "./chat/scroll.js";
import { toolEvents, WRITING } from "./chat/tools.js";
import { follow } from "./chat/stream.js";
import { problem, Turn } from "./chat/turn.js";
import { refreshConversations } from "./conversations.js";

const form = document.getElementById("composer");
const composer = new Composer(form, send);
new PromptPicker(composer);
const follower = new Follower(document.getElementById("chat-scroll"), document.querySelector("[data-action=to-bottom]"));
const attempt = { request: "", key: "" }; // retrying the same request reuses its key
let path = location.pathname;

function note(name, shown) {
  document.querySelector(`[data-note=${name}]`).hidden = !shown;
}

function say(text) {
  document.getElementById("chat-status").textContent = text;
}

async function postRequest(body) {
  const words = JSON.stringify(body);
  if (attempt.request !== words) Object.assign(attempt, { request: words, key: newKey() });
  const answer = await post(form.action, { token: composer.token, body, key: attempt.key });
  if (answer.data) attempt.request = "";
  return answer;
}

async function send(text) {
  const body = { message: text, model: composer.model, mcps: composer.mcps, images: composer.images.ids };
  if (composer.conversation) body.conversation_id = composer.conversation;
  document.querySelector("#turns > .callout")?.remove();
  document.getElementById("welcome")?.setAttribute("hidden", "");
  const turn = Turn.begin(text);
  composer.handOver(text);
  follower.toBottom();
  const { data, error } = await postRequest(body);
  if (error) return refused(turn, error);
  turn.accepted(data);
  composer.accepted();
  if (!composer.conversation) enter(data);
  refreshConversations();
  watch(turn);
}

/** Replaces the turn and those after it by a new one; restores them if it is refused. */
async function redo(old, message) {
  const replaced = old.onwards;
  const turn = Turn.begin(message ?? old.message, old.images);
  for (const node of replaced) node.remove();
  composer.wait();
  const body = { model: composer.model, mcps: composer.mcps, conversation_id: composer.conversation };
  body.replaces = old.element.dataset.turn;
  if (message !== null) Object.assign(body, { message, images: imagesOf(old.element) });
  const { data, error } = await postRequest(body);
  if (error) {
    turn.element.replaceWith(...replaced);
    composer.replyRuns(false);
    return error;
  }
  turn.accepted(message === null ? { ...data, message_html: "" } : data);
  watch(turn);
  return null;
}

function refused(turn, error) {
  turn.remove();
  composer.refused();
  document.getElementById("turns").append(problem(error, { label: "Retry", action: "send-again" }));
  follower.toBottom();
}

/** The first message created a conversation: the page gets its URL. */
function enter({ conversation_id, conversation_url }) {
  composer.conversation = conversation_id;
  history.pushState(null, "", conversation_url);
  path = location.pathname;
  document.getElementById("welcome")?.remove();
  htmx.ajax("GET", conversation_url, { target: "#chat-head", select: "#chat-head", swap: "outerHTML" });
}

function watch(turn) {
  composer.replyRuns(true, turn.isMine);
  say(WRITING);
  follow(turn.element.dataset.events, {
    connected: () => note("reconnecting", false),
    reconnecting: () => note("reconnecting", true),
    lost: () => lost(turn),
    started: (data) => turn.started(data),
    html: (data) => {
      turn.html(data);
      follower.grew();
    },
    extras: (data) => {
      turn.extras(data);
      follower.grew();
    },
    ...toolEvents(turn, { token: composer.token, grew: () => follower.grew(), say }),
    notice: (data) => turn.notice(data),
    replace: () => turn.replace(),
    error: (data) => turn.error(data),
    usage: (data) => {
      turn.usage(data);
      if (data.quota) showQuota(data.quota);
    },
    done: ({ finish_reason }) => finished(turn, finish_reason),
  });
}

function finished(turn, reason) {
  turn.done(reason);
  note("reconnecting", false);
  composer.replyRuns(false);
  say(reason === "stop" ? "The reply is finished." : "The reply ended early.");
  refreshConversations();
}

function lost(turn) {
  note("reconnecting", false);
  const message = "The connection to this reply was lost. The text so far is saved.";
  turn.error({ message }, { label: "Reload", action: "reload" });
  turn.ended("Not known");
  composer.replyRuns(false);
}

offerRedo(composer, redo);

onAction("stop", async (button) => {
  const element = document.querySelector(".turn[data-state=running]");
  if (!element?.dataset.stop) return;
  button.disabled = true;
  const { error } = await post(element.dataset.stop, { token: composer.token });
  if (!error) return;
  button.disabled = false;
  new Turn(element).notice({ text: `Could not stop the reply: ${error.message}` });
});

onAction("send-again", () => form.requestSubmit());
onAction("reload", () => location.reload());
onAction("to-bottom", () => follower.toBottom());
onAction("start", (button) => composer.write(button.dataset.prompt));

document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.target.matches(".turns-earlier")) return;
  document.body.addEventListener("htmx:afterSwap", follower.holdPlace(), { once: true });
});

// Back after a first message: the URL is another page, so load it.
addEventListener("popstate", () => location.pathname !== path && location.reload());

for (const name of ["online", "offline"]) addEventListener(name, () => note("offline", !navigator.onLine));
note("offline", !navigator.onLine);

const running = document.querySelector(".turn[data-state=running]");
if (running) watch(new Turn(running));
follower.toBottom();
