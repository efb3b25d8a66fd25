// Posts to our own server as the signed-in person, and turns every failure into the one error shape.

const UNREACHABLE = "Could not reach the server. Check your connection and try again.";
const SIGNED_OUT = "You are no longer signed in. Reload the page. Your text is saved.";
const GONE = "This no longer exists. Someone may have removed it.";

export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // pages loaded over plain http
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Resolves to {data} or to {error: {code, message, details, request_id}}; never throws. */
export async function ask(url, { headers, ...options } = {}) {
  let response;
  try {
    response = await fetch(url, { ...options, headers: { Accept: "application/json", ...headers }, redirect: "manual" });
  } catch {
    return { error: { code: "unreachable", message: UNREACHABLE } };
  }
  const data = await response.json().catch(() => null);
  if (response.ok && data) return { data };
  return { error: data?.error ?? unexpected(response) };
}

/** The same for a body that is written as JSON. */
export function post(url, { token, body, key }) {
  const headers = { "X-CSRFToken": token };
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  return ask(url, { method: "POST", headers, body: body && JSON.stringify(body) });
}

/** The text of an error; for invalid fields, the problem of the first. */
export function wordsOf({ code, message, details }) {
  const words = code === "invalid_input" ? Object.values(details ?? {})[0]?.[0] : null;
  return typeof words === "string" ? words : message;
}

function unexpected(response) {
  const { type, status } = response;
  if (type === "opaqueredirect" || status === 401 || status === 403) return { code: "signed_out", message: SIGNED_OUT };
  if (status === 404) return { code: "not_found", message: GONE };
  return { code: "unexpected", message: `Unexpected response from the server (${status}). Try again.` };
}
