// The page: what its controls do, and what it shows.

const $ = (id) => document.getElementById(id);
const tokens = []; // those issued so far: { text, name }
let token = null; // the one in use, tampered with or not
let issued = null; // what it was before
let answers = 0;
let shown = ""; // the events on the page
let state = null; // the latest, as the server tells it
let before = null; // the state when the latest action began
let latest = Promise.resolve(); // ends with the latest action

// Text only: nothing that a token or an answer says becomes markup.
function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 1e-3) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${(s * 1e3).toFixed(s < 0.01 ? 1 : 0)} ms`;
  if (s < 60) return `${Math.floor(s)} s`;
  const [big, small, large, unit] = s < 3600 ? [60, 1, "min", "s"] : s < 86400 ? [3600, 60, "h", "min"] : [86400, 3600, "d", "h"];
  const rest = Math.floor((s % big) / small);
  return `${Math.floor(s / big)} ${large}` + (rest ? ` ${rest} ${unit}` : "");
}

function decoded(part) {
  try {
    const bytes = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
  } catch {
    return {};
  }
}

function encoded(value) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value)));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const spaced = (value) => JSON.stringify(value, null, 1).replace(/\n */g, " ");

// The token.

function show(text, original = text, how = "") {
  [token, issued] = [text, original];
  $("tampers").disabled = false;
  $("tampers").querySelector("legend").textContent = "Tamper:";
  for (const button of document.querySelectorAll("[data-tamper]")) button.ariaPressed = button.dataset.tamper === how;
  const before = original.split(".");
  const parts = text.split(".").map((part, n) => {
    const kind = ["head", "claims", "signature"][n];
    return element("span", part || "(empty)", part === before[n] ? kind : `${kind} changed`);
  });
  $("token").replaceChildren(parts[0], ".", parts[1], ".", parts[2]);
  const [head, claims] = text.split(".").map(decoded);
  $("head").textContent = spaced(head);
  $("claims").textContent = JSON.stringify(claims, null, 1);
  return refresh();
}

function keep(text) {
  const [head, claims] = text.split(".").map(decoded);
  tokens.push(text);
  const name = `${tokens.length} · ${claims.sub} · key ${head.kid.slice(0, 6)}`;
  if (tokens.length === 1) $("tokens").replaceChildren();
  $("tokens").disabled = false;
  $("tokens").prepend(new Option(name, text, true, true));
  return show(text);
}

function forget() {
  tokens.length = 0;
  token = issued = null;
  $("tokens").replaceChildren(new Option("none yet"));
  $("tokens").disabled = $("tampers").disabled = true;
  $("tampers").querySelector("legend").textContent = "To tamper, sign in first:";
  for (const button of document.querySelectorAll("[data-tamper]")) button.ariaPressed = "false";
  $("token").textContent = "Sign in to get one.";
  $("head").textContent = $("claims").textContent = "–";
  tell("", "no call yet", "Reading takes documents:read, writing takes documents:write.", {});
}

const tamper = {
  subject: ([head, claims, signature]) => [head, encoded({ ...decoded(claims), sub: "mallory" }), signature],
  signature: ([head, claims, s]) => [head, claims, s.slice(0, 20) + (s[20] === "A" ? "B" : "A") + s.slice(21)],
  none: ([head, claims]) => [encoded({ ...decoded(head), alg: "none" }), claims, ""],
  kid: ([head, ...rest]) => [encoded({ ...decoded(head), kid: "made-up" }), ...rest],
};

// What the buttons do. Each says so.

const say = (text) => ($("did").textContent = text);

async function post(path, parameters) {
  const response = await fetch(`/api/${path}?${new URLSearchParams(parameters)}`, { method: "POST" });
  await refresh();
  return response.json();
}

async function signIn() {
  await keep((await post("sign-in", new FormData($("sign-in")))).token);
  say(`Signed in: the token names key ${decoded(token.split(".")[0]).kid}.`);
}

async function expired() {
  const { sub, scope } = decoded(issued.split(".")[1]);
  const form = new URLSearchParams({ user: sub, lifetime: -60 });
  for (const each of scope.split(" ")) form.append("scope", each);
  return (await post("sign-in", form)).token;
}

async function tamperWith(how, name) {
  const pressed = document.querySelector(`[data-tamper=${how}]`).ariaPressed === "true";
  if (pressed) await show(issued);
  else await show(how === "expired" ? await expired() : tamper[how](issued.split(".")).join("."), issued, how);
  say(pressed ? "The token is again as it was issued." : `The token has been tampered with (${name}). Read with it, or press again to undo.`);
}

const did = {
  provider: (_, name) => say(name === "Healthy" ? "The provider is healthy." : `The provider’s answers, from now on: ${name}.`),
  rotate: ({ keep }) => say(keep === "true" ? "A new key signs; the old ones stay published." : "A new key signs, and it is the only one published."),
  clock: (_, name) => say(`The clock was put forward for the provider and both workers: ${name}.`),
  restart: ({ worker }) => say(`Worker ${worker} has started anew: it has no keys yet.`),
  "start-over": () => {
    forget();
    say("Everything is back at the start. Sign in to get a token.");
  },
};

async function control(path, parameters, name) {
  await post(path, parameters);
  if (path === "start-over") mark();
  did[path](parameters, name);
}

const worker = () => document.querySelector("[name=worker]:checked").value;

async function busy(work) {
  if ($("answer").ariaBusy === "true") {
    say("The call before has no answer yet.");
    return;
  }
  $("answer").ariaBusy = "true";
  try {
    await work();
  } finally {
    $("answer").ariaBusy = "false";
    $("answer").dataset.answers = (answers += 1);
  }
}

function tell(kind, status, summary, rows) {
  $("status").className = `pill ${kind}`;
  $("status").textContent = status;
  $("summary").textContent = summary;
  $("echo-status").className = $("status").className;
  $("echo-status").textContent = status;
  $("echo-summary").textContent = summary;
  for (const id of ["key", "origin", "took", "challenge", "retry", "body"]) $(id).textContent = rows[id] ?? "–";
}

async function call(method) {
  const [from, bare] = [worker(), $("bare").checked || token === null];
  const headers = bare ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(`/${from}/documents`, { method, headers });
  const body = await response.json();
  const [timing] = performance.getEntriesByName(response.url).slice(-1).flatMap((each) => each.serverTiming);
  performance.clearResourceTimings();
  const { kid, origin, age, fresh } = body.verified_by ?? {};
  const kind = response.ok ? (fresh ? "good" : "warn") : response.status === 503 ? "warn" : "bad";
  const summary = response.ok
    ? `Worker ${from} let ${body.user} ${body.did}, with ${fresh ? "fresh" : "stale"} keys.`
    : `Worker ${from} refused${bare ? " a request without a token" : ""}: ${body.detail}.`;
  tell(kind, `${response.status} ${response.statusText}`, summary, {
    key: kid,
    origin: origin && `${origins[origin]}, ${age < 1 ? "just now" : `${duration(age)} ago`}`,
    took: timing && `${duration(timing.duration / 1e3)}, ${timing.description}`,
    challenge: response.headers.get("WWW-Authenticate"),
    retry: response.headers.get("Retry-After") && `${response.headers.get("Retry-After")} s`,
    body: spaced(body),
  });
  await refresh();
  say(`Called with ${bare ? "no token" : "the token"}.`);
}

async function flood() {
  const from = worker();
  const { outcome, seconds, asked } = await post("flood", { worker: from });
  const fetches = `${asked} ${asked === 1 ? "request" : "requests"} for its keys`;
  tell("bad", "1,000 tokens", `Worker ${from} refused them all; the provider had ${fetches}.`, {
    took: `${duration(seconds)} for all of them`,
    body: outcome,
  });
  say("A thousand tokens were sent, each with another kid.");
}

// What is going on.

const origins = { provider: "the provider", store: "the shared store" };

const filled = (list) => (list.length ? list : ["–"]);

function kids(list, signing) {
  const mine = token && decoded(token.split(".")[0]).kid;
  return list.map((kid) => {
    const chip = element("span", kid === signing ? `${kid} signs` : kid, kid === mine ? "mine" : "");
    if (kid === mine) chip.title = "the key that your token names";
    return chip;
  });
}

const named = (keys) => (keys.age === null ? "no keys" : keys.fresh ? "fresh" : keys.usable_for > 0 ? "stale" : "too old");

// What the latest action has changed.
function showChanges(now) {
  const rows = now.workers.map((keys, n) => {
    const [then, is] = [named(before.workers[n]), named(keys)];
    return element("span", `${keys.name}: ${then === is ? is : `${then} → ${is}`}`, then === is ? "" : "changed-state");
  });
  const count = ({ provider }) => provider.discovery + provider.keys;
  const more = Math.max(0, count(now) - count(before));
  rows.push(element("span", `provider: ${more ? `${more} more ${more === 1 ? "request" : "requests"}` : "not asked"}`, more ? "changed-state" : ""));
  const text = rows.map((row) => row.textContent).join();
  if ($("changes").dataset.text === text) return;
  $("changes").dataset.text = text;
  $("changes").replaceChildren(...rows);
}

function showWorker(card, keys) {
  const [lives, dies] = [keys.age + keys.expires_in, keys.age + keys.usable_for];
  const state = named(keys);
  const [pill, marker] = [card.querySelector(".pill"), card.querySelector("i")];
  const [held, origin, next] = card.querySelectorAll("dd");
  card.querySelector("h2").textContent = `Worker ${keys.name}`;
  card.querySelector("[data-post]").dataset.worker = keys.name;
  pill.textContent = state;
  pill.className = `pill ${{ fresh: "good", stale: "warn", "too old": "bad" }[state] ?? ""}`;
  const share = keys.age < lives ? (35 * keys.age) / lives : 35 + (45 * (keys.age - lives)) / (dies - lives);
  marker.style.left = `${Math.min(share, 92)}%`;
  marker.hidden = keys.age === null;
  held.replaceChildren(...filled(kids(keys.kids)));
  origin.textContent = keys.origin === null ? "–" : `${origins[keys.origin]}, fetched ${duration(keys.age)} ago`;
  const wait = keys.retry_after > 0 ? `; again in ${duration(keys.retry_after)}` : "";
  const idle = keys.fresh ? "not due" : "the next token starts it";
  next.textContent = keys.refreshing ? "under way" : keys.failure ? `${keys.failure}${wait}` : idle;
}

const spans = { retry_after: 1, usable_for: 1 }; // told in seconds

function showEvents(events) {
  if (shown === JSON.stringify(events)) return;
  shown = JSON.stringify(events);
  const rows = events.map(({ who, name, told, age, at, times }) => {
    const row = element("li", "");
    const what = element("div", times > 1 ? `${name} × ${times}` : name);
    const facts = Object.entries(told)
      .filter(([key, value]) => key !== "version" && value !== false && `${value}` !== "")
      .map(([key, value]) => `${key}: ${key in spans ? duration(value) : value}`);
    if (age !== null) facts.push(`age: ${duration(age)}`);
    what.append(element("small", facts.join(" · ")));
    row.append(element("time", new Date(at * 1e3).toLocaleTimeString("en-GB")), element("b", who), what);
    return row;
  });
  $("events").replaceChildren(...rows);
}

async function refresh() {
  const told = await fetch("/api/state").then((response) => response.json(), () => null);
  $("lost").hidden = told !== null;
  if (told === null) return;
  state = told;
  before ??= told;
  const { provider, workers } = state;
  $("ahead").textContent = state.ahead ? `+ ${duration(state.ahead)}` : "in real time";
  for (const button of document.querySelectorAll("[data-fault]")) button.ariaPressed = button.dataset.fault === provider.fault;
  $("published").replaceChildren(...filled(kids(provider.kids, provider.signing)));
  $("asked").textContent = `${provider.discovery} × discovery, ${provider.keys} × keys (${provider.not_modified} unchanged)`;
  $("lately").replaceChildren(...filled(provider.last.map(([path, status]) => element("span", `${path === "/jwks" ? "keys" : "discovery"} ${status ?? "unanswered"}`))));
  workers.forEach((keys, n) => {
    if (!$("workers").children[n]) $("workers").append($("worker").content.cloneNode(true));
    showWorker($("workers").children[n], keys);
  });
  showChanges(state);
  showEvents(state.events);
}

// From here on the page shows what has changed.
const mark = () => (before = state);

function act(work) {
  if ($("tour").ariaBusy !== "true") mark(); // a line of the tour is one action
  return (latest = work());
}

// Ends when whatever was pressed last has done its work.
const settled = () => latest;
const current = () => ({ ...state, token, issued });

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button, input");
  if (!button) return;
  const { post: path, call: method, tamper: how, ...parameters } = button.dataset;
  const name = button.textContent;
  if (path) act(() => control(path, parameters, name));
  if (method) act(() => busy(() => call(method)));
  if (button.id === "flood") act(() => busy(flood));
  if (how) act(() => tamperWith(how, name));
});
$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  act(signIn);
});
$("tokens").addEventListener("change", () => {
  act(() => show($("tokens").value));
  say("An earlier token is in use.");
});

// A page that nobody sees asks for nothing, so that a playground left alone ends.
setInterval(() => document.hidden || refresh(), 700);
refresh();

export { $, current, decoded, mark, say, settled };
