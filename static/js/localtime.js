// Writes times in the reader's time zone; a time today without its date.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short" });

export function writeTime(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.valueOf())) return;
  const today = at.toDateString() === new Date().toDateString();
  element.textContent = (element.dataset.form === "time" && today ? CLOCK : MOMENT).format(at);
  element.title = FULL.format(at);
}

export function writeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) writeTime(element);
}
