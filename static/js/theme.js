// Sets the theme and the width of the rail before the first paint; the one script that blocks.

(() => {
  const root = document.documentElement;
  root.classList.remove("no-script");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    if (localStorage.getItem("rail") === "folded") root.dataset.rail = "folded";
  } catch {
    // A browser without storage follows the system and shows the whole rail.
  }
})();
