// Passkeys: a form with data-passkey asks the device first, and sends its response.
//   data-passkey   "create", "get", or "sign-in" (whose options are fetched from the form's URL)
//   data-options   the id of the JSON with the options

import { showProblem } from "./toast.js";

const supported = "PublicKeyCredential" in window && "parseCreationOptionsFromJSON" in PublicKeyCredential;

async function optionsOf(form) {
  if (form.dataset.passkey !== "sign-in") return JSON.parse(document.getElementById(form.dataset.options).textContent);
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error("The server did not respond.");
  return (await answer.json()).request_options;
}

async function create(options) {
  const wanted = structuredClone(options.creation_options.publicKey);
  // A discoverable passkey includes the user, so no email address is needed.
  Object.assign(wanted.authenticatorSelection, {
    residentKey: "required",
    requireResidentKey: true,
    userVerification: "required",
  });
  return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(wanted) });
}

function get(options) {
  const wanted = (options.request_options ?? options).publicKey;
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(wanted) });
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = !supported;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const options = await optionsOf(form);
      const credential = await (form.dataset.passkey === "create" ? create(options) : get(options));
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch (problem) {
      const refused = problem.name === "NotAllowedError" || problem.name === "AbortError";
      showProblem(refused ? "The passkey request was cancelled or timed out. Try again." : "That did not work. Try again.");
    }
  });
}
