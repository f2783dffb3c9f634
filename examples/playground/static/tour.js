// “Try this”: each line presses the page's own controls, one after the other.

import { $, current, decoded, mark, say, settled } from "./page.js";

const READ = "[data-call=GET]";
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const pause = () => new Promise((done) => setTimeout(done, calm.matches ? 0 : 400));
let pressed = []; // the names of the buttons, since the line began

async function press(selector, name) {
  const control = document.querySelector(selector);
  control.classList.add("driven");
  control.click();
  await settled();
  pressed.push(name ?? control.textContent);
  say(`Pressing for you: ${pressed.join(", ")} …`);
  await pause();
  control.classList.remove("driven");
}

async function use(worker) {
  const choice = document.querySelector(`[name=worker][value=${worker}]`);
  if (!choice.checked) await press(`[name=worker][value=${worker}]`, `Worker ${worker}`);
  if ($("bare").checked) await press("#bare", "without the token");
}

async function signIn() {
  const form = $("sign-in");
  form.reset(); // a week: no token expires before the last line
  await press("#sign-in .primary");
}

async function untamper() {
  const { token, issued } = current();
  if (token !== issued) await press("[data-tamper][aria-pressed=true]", "Tamper (undone)");
}

// Whether worker A has the key of the token in use.
function known() {
  const { issued, workers, now } = current();
  if (issued === null) return false;
  const [head, claims] = issued.split(".").slice(0, 2).map(decoded);
  return workers[0].kids.includes(head.kid) && claims.exp > now + 2 * 86_400 && claims.scope.includes("documents:read");
}

const ready = () => known() && current().workers[0].fresh;
const healthy = () => current().provider.fault === "none";
const startOver = () => press("[data-post=start-over]");

const steps = {
  async read() {
    if (!healthy() || current().provider.discovery) await startOver();
    await signIn();
    await use("A");
    await press(READ);
  },
  async share() {
    if (!ready() || !healthy()) await steps.read();
    await untamper();
    if (current().workers[1].kids.length) await press("[data-post=restart][data-worker=B]", "Restart worker B");
    await use("B");
    await press(READ);
  },
  async rotate() {
    if (!ready() || !healthy() || current().provider.kids.length > 1) await steps.read();
    await press("[data-keep=true]");
    await signIn();
    await use("A");
    await press(READ);
  },
  async forge() {
    if (!ready()) await steps.read();
    await untamper();
    await use("A");
    await press("[data-tamper=subject]", "Tamper: user");
    await press(READ);
  },
  async outage() {
    if (!ready()) await steps.read();
    await untamper();
    await use("A");
    await press("[data-fault='503']");
    await press("[data-seconds='900']");
    await press(READ);
  },
  async age() {
    const { fresh, usable_for: usable } = current().workers[0];
    if (!known() || fresh || !(usable > 0) || current().provider.fault !== "503") await steps.outage();
    await untamper();
    await use("A");
    await press("[data-seconds='86400']");
    await press(READ);
  },
  async repair() {
    if (!known() || healthy() || !(current().workers[0].usable_for < 0)) await steps.age();
    await untamper();
    await use("A");
    await press("[data-fault=none]");
    await press("[data-seconds='60']");
    await press(READ);
  },
};

async function take(button) {
  const tour = $("tour");
  if (tour.ariaBusy === "true") {
    say("A line is still being played.");
    return;
  }
  mark();
  tour.ariaBusy = "true";
  for (const each of tour.querySelectorAll("[data-step]")) each.ariaCurrent = each === button ? "step" : null;
  pressed = [];
  try {
    await steps[button.dataset.step]();
    say(`Pressed for you: ${pressed.join(", ")}.`);
  } finally {
    tour.ariaBusy = "false";
  }
}

$("tour").addEventListener("click", ({ target }) => {
  const button = target.closest("[data-step]");
  if (button) take(button);
});
