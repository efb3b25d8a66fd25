// Places an open menu next to its button, and moves through it with the arrow keys.

const GAP = 4;

function place(menu, button) {
  const anchor = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = anchor.bottom + GAP;
  const top = below + height < innerHeight ? below : Math.max(GAP, anchor.top - GAP - height);
  const left = anchor.left + width < innerWidth - GAP ? anchor.left : anchor.right - width;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
}

// `toggle` does not bubble, so it is caught on the way down.
document.addEventListener(
  "toggle",
  (event) => {
    const menu = event.target;
    if (!menu.matches?.(".menu") || event.newState !== "open") return;
    menu.classList.add("menu-placed");
    const button = document.querySelector(`[popovertarget="${CSS.escape(menu.id)}"]`);
    if (button) place(menu, button);
  },
  true,
);

document.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const menu = step && document.querySelector(".menu:popover-open");
  if (!menu) return;
  event.preventDefault();
  const items = [...menu.querySelectorAll(".menu-item")].filter((item) => item.offsetParent !== null);
  const here = items.indexOf(document.activeElement);
  items[here < 0 ? (step > 0 ? 0 : items.length - 1) : (here + step + items.length) % items.length]?.focus();
});

addEventListener("resize", () => document.querySelector(".menu:popover-open")?.hidePopover());
