// The list of conversations in the rail: fetched again after a change, with the current one highlighted.

export function refreshConversations() {
  const menu = document.querySelector("#conversations :popover-open");
  if (menu) menu.addEventListener("toggle", refreshConversations, { once: true });
  else document.body.dispatchEvent(new Event("refresh-conversations"));
}

function markCurrent() {
  for (const link of document.querySelectorAll(".rail :is(.conversation-link, .rail-link[href])")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function nameThePage(list) {
  const title = list.querySelector("[aria-current] > span")?.textContent;
  const heading = document.querySelector("#chat-head .bar-title");
  if (!title || !heading) return;
  heading.textContent = title;
  document.title = `${title} · Switchyard`;
}

document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "conversations") return;
  markCurrent();
  nameThePage(event.target);
});
