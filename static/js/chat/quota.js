// The quiet meter in the composer, brought up to date when a reply has been paid for.

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

/** Once a budget's soft limit is reached, a line above the composer says so until the page is left. */
function tellNear({ limit, used, soft_limit: soft }) {
  const place = document.querySelector("#near-limits");
  if (!place || soft === null || used < soft || place.querySelector(".composer-near")) return;
  const line = document.createElement("p");
  line.className = "composer-near";
  line.dataset.testid = "near-limit";
  line.textContent = `${Math.min(100, Math.floor((100 * used) / limit))} % of a budget is used.`;
  place.append(line);
}

/** As the server writes amounts: tokens by their number, money in its currency. */
export function amountText(quota, amount) {
  if (quota.metric !== "cost") return `${amount.toLocaleString("en")} ${quota.metric}`;
  const whole = amount / 1e6;
  const digits = whole >= 1 || !amount ? 2 : 4;
  return `${quota.currency} ${whole.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
