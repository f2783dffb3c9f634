"use strict";

const $ = (id) => document.getElementById(id);
const tokens = []; // those issued so far: { text, name }
let token = null; // the one in use, tampered with or not
let issued = null; // what it was before
let answers = 0;
let shown = ""; // the events on the page

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

function show(text, original = text) {
  [token, issued] = [text, original];
  const before = original.split(".");
  const parts = text.split(".").map((part, n) => {
    const kind = ["head", "claims", "signature"][n];
    return element("span", part || "(empty)", part === before[n] ? kind : `${kind} changed`);
  });
  $("token").replaceChildren(parts[0], ".", parts[1], ".", parts[2]);
  const [head, claims] = text.split(".").map(decoded);
  $("head").textContent = spaced(head);
  $("claims").textContent = JSON.stringify(claims, null, 1);
  refresh();
}

function keep(text) {
  const [head, claims] = text.split(".").map(decoded);
  tokens.push(text);
  const name = `${tokens.length} · ${claims.sub} · key ${head.kid.slice(0, 6)}`;
  if (tokens.length === 1) $("tokens").replaceChildren();
  $("tokens").prepend(new Option(name, text, true, true));
  show(text);
}

const tamper = {
  subject: ([head, claims, signature]) => [head, encoded({ ...decoded(claims), sub: "mallory" }), signature],
  signature: ([head, claims, s]) => [head, claims, s.slice(0, 20) + (s[20] === "A" ? "B" : "A") + s.slice(21)],
  none: ([head, claims]) => [encoded({ ...decoded(head), alg: "none" }), claims, ""],
  kid: ([head, ...rest]) => [encoded({ ...decoded(head), kid: "made-up" }), ...rest],
};

// What the buttons do.

async function post(path, parameters) {
  const response = await fetch(`/api/${path}?${new URLSearchParams(parameters)}`, { method: "POST" });
  await refresh();
  return response.json();
}

async function signIn(expired) {
  const form = new FormData($("sign-in"));
  if (expired) form.set("lifetime", "-60");
  keep((await post("sign-in", form)).token);
}

const worker = () => document.querySelector("[name=worker]:checked").value;

async function busy(work) {
  if ($("answer").ariaBusy === "true") return;
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
    origin: origin && `${origins[origin]}, ${duration(age)} ago`,
    took: timing && `${duration(timing.duration / 1e3)}, ${timing.description}`,
    challenge: response.headers.get("WWW-Authenticate"),
    retry: response.headers.get("Retry-After") && `${response.headers.get("Retry-After")} s`,
    body: spaced(body),
  });
  await refresh();
}

async function flood() {
  const from = worker();
  const { outcome, seconds, asked } = await post("flood", { worker: from });
  const fetches = `${asked} ${asked === 1 ? "request" : "requests"} for its keys`;
  tell("bad", "1,000 tokens", `Worker ${from} refused them all; the provider had ${fetches}.`, {
    took: `${duration(seconds)} for all of them`,
    body: outcome,
  });
}

// What is going on.

const origins = { provider: "the provider", store: "the shared store" };

function kids(list, signing) {
  const mine = token && decoded(token.split(".")[0]).kid;
  return list.map((kid) => {
    const chip = element("span", kid === signing ? `${kid} signs` : kid, kid === mine ? "mine" : "");
    if (kid === mine) chip.title = "the key that your token names";
    return chip;
  });
}

function showWorker(card, keys) {
  const [lives, dies] = [keys.age + keys.expires_in, keys.age + keys.usable_for];
  const state = keys.age === null ? "no keys" : keys.fresh ? "fresh" : keys.usable_for > 0 ? "stale" : "too old";
  const [pill, marker] = [card.querySelector(".pill"), card.querySelector("i")];
  const [held, origin, next] = card.querySelectorAll("dd");
  card.querySelector("h2").textContent = `Worker ${keys.name}`;
  card.querySelector("button").dataset.worker = keys.name;
  pill.textContent = state;
  pill.className = `pill ${{ fresh: "good", stale: "warn", "too old": "bad" }[state] ?? ""}`;
  const share = keys.age < lives ? (35 * keys.age) / lives : 35 + (45 * (keys.age - lives)) / (dies - lives);
  marker.style.left = `${Math.min(share, 92)}%`;
  marker.hidden = keys.age === null;
  held.replaceChildren(...kids(keys.kids));
  origin.textContent = keys.origin === null ? "–" : `${origins[keys.origin]}, fetched ${duration(keys.age)} ago`;
  const wait = keys.retry_after > 0 ? `; again in ${duration(keys.retry_after)}` : "";
  next.textContent = keys.refreshing ? "under way" : keys.failure ? `${keys.failure}${wait}` : "with the next token that needs it";
}

function showEvents(events) {
  if (shown === JSON.stringify(events)) return;
  shown = JSON.stringify(events);
  const rows = events.map(({ who, name, told, age, at, times }) => {
    const row = element("li", "");
    const what = element("div", times > 1 ? `${name} × ${times}` : name);
    const facts = Object.entries(told)
      .filter(([, value]) => value !== false && `${value}` !== "")
      .map(([key, value]) => `${key}: ${typeof value === "number" ? Math.round(value) : value}`);
    if (age !== null) facts.push(`age: ${duration(age)}`);
    what.append(element("small", facts.join(" · ")));
    row.append(element("time", new Date(at * 1e3).toLocaleTimeString("en-GB")), element("b", who), what);
    return row;
  });
  $("events").replaceChildren(...rows);
}

async function refresh() {
  const state = await fetch("/api/state").then((response) => response.json(), () => null);
  $("lost").hidden = state !== null;
  if (state === null) return;
  const { provider, workers } = state;
  $("ahead").textContent = state.ahead ? `+ ${duration(state.ahead)}` : "in real time";
  for (const button of document.querySelectorAll("[data-fault]")) button.ariaPressed = button.dataset.fault === provider.fault;
  $("published").replaceChildren(...kids(provider.kids, provider.signing));
  $("asked").textContent = `${provider.discovery} × discovery, ${provider.keys} × keys (${provider.not_modified} unchanged)`;
  $("lately").replaceChildren(...provider.last.map(([path, status]) => element("span", `${path === "/jwks" ? "keys" : "discovery"} ${status ?? "unanswered"}`)));
  workers.forEach((keys, n) => {
    if (!$("workers").children[n]) $("workers").append($("worker").content.cloneNode(true));
    showWorker($("workers").children[n], keys);
  });
  showEvents(state.events);
}

document.addEventListener("click", ({ target }) => {
  const { post: path, call: method, tamper: how, ...parameters } = target.dataset;
  if (path) post(path, parameters);
  if (method) busy(() => call(method));
  if (target.id === "flood") busy(flood);
  if (how === "expired") signIn(true);
  else if (how && token) show(tamper[how](issued.split(".")).join("."), issued);
});
$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(false);
});
$("tokens").addEventListener("change", () => show($("tokens").value));

// A page that nobody sees asks for nothing, so that a playground left alone ends.
setInterval(() => document.hidden || refresh(), 700);
refresh();
