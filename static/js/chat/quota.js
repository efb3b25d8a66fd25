// The meter in the composer, updated when a reply has been charged.

export function showQuota(quota) {
  const { limit, used, remaining } = quota;
  tellNear(quota);
  const meter = document.querySelector("[data-testid=quota-meter]");
  if (!meter || !limit) return;
  const percent = (100 * used) / limit;
  const text = `${amountText(quota, remaining)} left`;
  meter.dataset.level = percent >= 100 ? "full" : percent >= 80 ? "high" : "low";
  meter.setAttribute("aria-valuenow", percent.toFixed(0));
  meter.setAttribute("aria-valuetext", text);
  meter.querySelector("rect").setAttribute("width", `${percent.toFixed(1)}%`);
  meter.querySelector("span").textContent = text;
}

/** Shows a line above the composer once a budget has reached its warning, until the page is left. */
function tellNear({ limit, used, soft_limit: soft }) {
  const box = document.querySelector("#near-limits");
  if (!box || soft === null || used < soft || box.querySelector(".composer-near")) return;
  const line = document.createElement("p");
  line.className = "composer-near";
  line.dataset.testid = "near-limit";
  line.textContent = `${Math.min(100, Math.floor((100 * used) / limit))}% of a budget is used.`;
  box.append(line);
}

/** Formats an amount as the server does: a number of tokens, or a cost in its currency. */
export function amountText(quota, amount) {
  if (quota.metric !== "cost") return `${amount.toLocaleString("en")} ${quota.metric}`;
  const whole = amount / 1e6;
  const digits = whole >= 1 || !amount ? 2 : 4;
  return `${quota.currency} ${whole.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
