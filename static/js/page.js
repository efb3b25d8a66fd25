// Set-up of every page: theme, rail, dialogs, menus, toasts, forms, copying, local times.

import "./theme-switch.js";
import "./drawer.js";
import "./dialog.js";
import "./menu.js";
import "./toast.js";
import "./forms.js";
import "./conversations.js";
import { addCopyButtons } from "./copy.js";
import { writeTimes } from "./localtime.js";

function enliven(root) {
  addCopyButtons(root);
  writeTimes(root);
}

enliven(document);
document.body.addEventListener("htmx:load", (event) => enliven(event.target));
