// The quiet meter in the composer, brought up to date when a reply has been paid for.

export function showQuota({ limit, used, remaining }) {
  const meter = document.querySelector("[data-testid=quota-meter]");
  if (!meter || !limit) return;
  const percent = (100 * used) / limit;
  const text = `${remaining.toLocaleString("en")} tokens left`;
  meter.dataset.level = percent >= 100 ? "full" : percent >= 80 ? "high" : "low";
  meter.setAttribute("aria-valuenow", percent.toFixed(0));
  meter.setAttribute("aria-valuetext", text);
  meter.querySelector("rect").setAttribute("width", `${percent.toFixed(1)}%`);
  meter.querySelector("span").textContent = text;
}
