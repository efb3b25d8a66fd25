// Clicks on elements with data-action: one listener for the page, one function per action.

const actions = new Map();

export function onAction(name, act) {
  actions.set(name, act);
}

document.addEventListener("click", (event) => {
  const element = event.target.closest("[data-action]");
  const act = element && actions.get(element.dataset.action);
  if (!act) return;
  event.preventDefault();
  act(element, event);
});
