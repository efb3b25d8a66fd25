// The rail: a drawer on small screens, folded to icons on wide ones; also the shortcut for its search.

import { onAction } from "./actions.js";
import { keep } from "./memory.js";

const root = document.documentElement;
const rail = document.getElementById("rail");
const content = document.querySelector(".content");
const search = document.querySelector("[data-shortcut=k]");

function openDrawer() {
  root.dataset.drawer = "open";
  content.inert = true;
  rail.querySelector("a, button")?.focus();
}

function closeDrawer() {
  if (root.dataset.drawer !== "open") return;
  delete root.dataset.drawer;
  content.inert = false;
  document.querySelector("[data-action=open-drawer]").focus();
}

function fold(folded) {
  if (folded) root.dataset.rail = "folded";
  else delete root.dataset.rail;
  keep("rail", folded ? "folded" : null);
  nameFold();
}

function nameFold() {
  const folded = root.dataset.rail === "folded";
  const button = document.querySelector("[data-action=fold-rail]");
  button?.setAttribute("aria-label", folded ? "Show sidebar" : "Hide sidebar");
  button?.setAttribute("aria-expanded", String(!folded));
}

function goToSearch() {
  if (matchMedia("(max-width: 799px)").matches) openDrawer();
  else fold(false);
  search.focus();
  search.select();
}

if (rail) {
  nameFold();
  onAction("open-drawer", openDrawer);
  onAction("close-drawer", closeDrawer);
  onAction("fold-rail", () => fold(root.dataset.rail !== "folded"));
  matchMedia("(min-width: 800px)").addEventListener("change", closeDrawer);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector(":popover-open, dialog[open]")) closeDrawer();
  });
}

if (search) {
  const mac = navigator.platform.startsWith("Mac");
  for (const hint of document.querySelectorAll("[data-key-hint]")) hint.textContent = mac ? "⌘K" : "Ctrl K";
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(mac ? event.metaKey : event.ctrlKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    goToSearch();
  });
  search.form.addEventListener("click", () => root.dataset.rail === "folded" && goToSearch());
}
