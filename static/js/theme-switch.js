// The button that cycles through the system's theme, light and dark.

import { onAction } from "./actions.js";
import { keep } from "./memory.js";

const NAMES = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
const NEXT = { system: "light", light: "dark", dark: "system" };
const root = document.documentElement;

function show() {
  const theme = root.dataset.theme ?? "system";
  for (const face of document.querySelectorAll("[data-shows]")) face.hidden = face.dataset.shows !== theme;
  for (const name of document.querySelectorAll("[data-theme-name]")) name.textContent = NAMES[theme];
  for (const button of document.querySelectorAll("[data-action=theme]")) button.setAttribute("aria-label", NAMES[theme]);
}

onAction("theme", () => {
  const next = NEXT[root.dataset.theme ?? "system"];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  keep("theme", next === "system" ? null : next);
  show();
});

show();
