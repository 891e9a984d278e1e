// The page's own script: turns links into events of Gradio's components, and keeps small comforts in the browser.
// It never builds HTML from data and needs neither eval nor inline handlers.
//
//   #do:VERB:VALUE       writes VALUE into the box #do-value and presses #do-VERB
//   #confirm:VERB:VALUE  the same after a question, #prompt:VERB:VALUE after asking for a text (VALUE:text)
//   #local:NAME          stays in the browser
"use strict";

const words = JSON.parse(document.getElementById("page-words")?.textContent || "{}");
const one = (selector) => document.querySelector(selector);

function press(verb, value) {
  const box = one("#do-value textarea, #do-value input");
  const button = one(`#do-${CSS.escape(verb)}`);
  if (!box || !button) return;
  box.value = value;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  setTimeout(() => button.click(), 0); // after Gradio has taken the value
}

function ask(question, initial) {
  const dialog = document.createElement("dialog");
  const form = document.createElement("form");
  form.method = "dialog";
  const text = document.createElement("p");
  text.textContent = question;
  const input = document.createElement("input");
  input.value = initial || "";
  input.maxLength = 80;
  const row = document.createElement("div");
  for (const [name, label] of [["no", words["dialog.cancel"]], ["yes", words["dialog.ok"]]]) {
    const button = document.createElement("button");
    button.value = name;
    button.textContent = label;
    button.className = name;
    // Enter submits with the first submit button of a form: that must not be "cancel".
    if (name === "no") {
      button.type = "button";
      button.addEventListener("click", () => dialog.close("no"));
    }
    row.append(button);
  }
  form.append(text, ...(initial === undefined ? [] : [input]), row);
  dialog.append(form);
  dialog.className = "ask";
  document.body.append(dialog);
  dialog.showModal();
  if (initial !== undefined) input.select();
  return new Promise((done) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes" ? input.value.trim() || true : null);
    }),
  );
}

async function copy(text, link) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea"); // plain http on another computer has no clipboard API
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const label = link.querySelector(".label");
  const before = label?.textContent;
  if (label) label.textContent = words["chat.copied"];
  link.classList.add("copied");
  setTimeout(() => {
    if (label) label.textContent = before;
    link.classList.remove("copied");
  }, 1500);
}

const local = {
  "copy-code": (link) => copy(link.closest(".code").querySelector("code").textContent, link),
  "copy-answer": (link) => copy(link.closest(".tools").querySelector(".raw").textContent, link),
  "close-reader": () => document.body.classList.remove("reading"),
  "close-case": () => document.body.classList.remove("case-open"),
  "close-sources": () => document.body.classList.remove("sources-open"),
  side: () => document.body.classList.toggle("side-open"),
  library: () => turn("library"),
  models: () => turn("models"),
  options: () => document.body.classList.toggle("options-open"),
  theme: () => {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("internkb-theme", dark ? "dark" : "light");
  },
};

async function follow(link) {
  const [, kind, verb, value] = link.getAttribute("href").match(/^#(do|confirm|prompt|local):([\w-]+):?(.*)$/) || [];
  if (kind === "local") return local[verb]?.(link);
  if (kind === "confirm" && !(await ask(words[`dialog.${verb}`]))) return;
  if (kind === "prompt") {
    const text = await ask(words[`dialog.${verb}`], link.closest("li")?.querySelector(".title")?.textContent || "");
    if (typeof text === "string") press(verb, `${value}:${text}`);
    return;
  }
  if (verb === "ask") return press(verb, link.textContent);
  const opens = value.replaceAll(":", "-");
  if (verb === "open" && [`reader-${conversation}-${opens}`, `reader-${opens}`].includes(one("#reader .reader")?.id)) {
    document.body.classList.add("reading"); // it is there already, closed
    return;
  }
  if (verb === "case" && one("#case .reader")?.id.endsWith(`-${value}`)) document.body.classList.add("case-open");
  if (verb === "open" && link.closest("#transcript")) {
    clicked = link;
    following = false;
  }
  if (verb === "retry" || verb === "anyway") exchange = "";
  if (verb === "up" || verb === "down") {
    for (const thumb of link.parentElement.querySelectorAll(".thumb")) thumb.classList.toggle("pressed", thumb === link);
  }
  if (verb === "sources") document.body.classList.add("sources-open");
  if (verb === "conversation" || verb === "new") document.body.classList.remove("side-open", "sources-open", "reading");
  press(verb, value);
}

document.addEventListener(
  "click",
  (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link) {
      event.preventDefault();
      event.stopPropagation();
      follow(link);
    } else if (!event.target.closest?.("#side, dialog")) {
      document.body.classList.remove("side-open");
    }
  },
  true,
);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !one("dialog[open]")) document.body.classList.remove("reading", "side-open", "sources-open", "case-open", "options-open");
  if ((event.key === "Enter" || event.key === " ") && event.target.matches?.('a[role="button"]')) {
    event.preventDefault();
    event.target.click();
  }
});

// What Gradio draws is watched, not patched: the reader opens when its content arrives, the talk follows its end.
let reader = "";
let clicked = null;
let conversation = null;
let base = null;
let exchange = "";
let following = true;

function opened() {
  const shown = one("#reader .reader");
  if (!shown || shown.id === reader) return;
  reader = shown.id;
  document.body.classList.add("reading");
  document.body.classList.remove("sources-open");
  requestAnimationFrame(() => {
    const text = shown.querySelector(".text");
    const mark = text?.querySelector("mark") || text?.querySelector(".in-chunk");
    if (mark) text.scrollTop += mark.getBoundingClientRect().top - text.getBoundingClientRect().top - text.clientHeight / 3;
    text?.focus({ preventScroll: true });
    clicked?.scrollIntoView({ block: "nearest" }); // the talk has become narrower, so what was clicked has moved
    clicked = null;
  });
}

// A question of an evaluation opens beside the report.
let shownCase = "";
function caseOpened() {
  const shown = one("#case .reader");
  if ((shown?.id || "") === shownCase) return;
  shownCase = shown?.id || "";
  document.body.classList.toggle("case-open", Boolean(shown));
  shown?.querySelector(".text")?.focus({ preventScroll: true });
}

// The address names the conversation and the knowledge base that are shown, so that a reload comes back to them.
function addressed() {
  const shown = one("#live .conversation, #past .conversation, #past .welcome");
  const id = shown?.id.replace("conversation-", "");
  const kb = one("#totals .kb-name")?.textContent;
  if ((id === undefined || id === conversation) && (kb === undefined || kb === base)) return;
  const url = new URL(location.href);
  if (id !== undefined && id !== conversation) {
    if (id) url.searchParams.set("c", id);
    else url.searchParams.delete("c");
    conversation = id;
  }
  if (kb !== undefined && kb !== base) {
    if (base !== null) url.searchParams.set("kb", kb);
    base = kb;
  }
  if (url.href !== location.href) history.replaceState(history.state, "", url);
  for (const link of document.querySelectorAll(".header a.language")) {
    const target = new URL(link.href);
    for (const name of ["c", "kb"]) {
      target.searchParams.delete(name);
      if (url.searchParams.has(name)) target.searchParams.set(name, url.searchParams.get(name));
    }
    link.href = target.pathname + target.search;
  }
}

// Tabs are known by their texts: where there is no room for all, Gradio moves some into a menu, without any other mark.
const tabs = () => [...document.querySelectorAll("#tabs > .tab-wrapper :is([role=tablist], .overflow-dropdown) button")];
const turn = (name) => tabs().find((tab) => tab.textContent.trim() === words[`tab.${name}`])?.click();

// A reload comes back to the same tab, and what was opened over one does not lie over the next.
function tabbed() {
  const wrapper = one("#tabs > .tab-wrapper");
  if (!wrapper || wrapper.dataset.watched || !tabs().length) return;
  wrapper.dataset.watched = "yes";
  wrapper.addEventListener("click", (event) => {
    const text = event.target.closest("button")?.textContent.trim();
    const key = Object.keys(words).find((name) => name.startsWith("tab.") && words[name] === text);
    if (!key) return;
    sessionStorage.setItem("internkb-tab", key.slice(4));
    document.body.classList.remove("reading", "case-open", "sources-open");
  });
  const last = sessionStorage.getItem("internkb-tab");
  if (last && last !== "chat") turn(last);
}

// The question that was compared last comes back with the page.
function compared() {
  const box = one("#compare-question textarea");
  if (!box || box.dataset.watched) return;
  box.dataset.watched = "yes";
  box.addEventListener("input", () => sessionStorage.setItem("internkb-compared", box.value));
  const last = sessionStorage.getItem("internkb-compared");
  if (!last || box.value) return;
  box.value = last;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

// The talk follows an answer as it grows, until its question has reached the top: reading begins at the beginning.
function kept() {
  const talk = one("#transcript");
  if (!talk) return;
  if (!talk.dataset.watched) {
    talk.dataset.watched = "yes";
    talk.setAttribute("role", "log");
    talk.setAttribute("aria-live", "polite");
    for (const name of ["wheel", "touchmove", "pointerdown"]) {
      talk.addEventListener(name, () => (following = false), { passive: true });
    }
  }
  const questions = talk.querySelectorAll(".question");
  const now = `${conversation} ${questions.length}`;
  if (now !== exchange) {
    exchange = now;
    following = true;
  }
  const last = questions[questions.length - 1];
  if (following && last) talk.scrollTop += last.getBoundingClientRect().top - talk.getBoundingClientRect().top - 20;
}

// What was unfolded stays so when it is drawn anew; a log is shown from its end.
const unfolded = new Set();
const fold = (details) => `${details.closest("[id]")?.id} ${details.querySelector("summary")?.textContent}`;
document.addEventListener(
  "toggle",
  (event) => {
    const details = event.target;
    if (details.tagName !== "DETAILS" || !details.isConnected) return;
    details.open ? unfolded.add(fold(details)) : unfolded.delete(fold(details));
  },
  true,
);
function unfold() {
  if (!unfolded.size) return;
  for (const details of document.querySelectorAll("details:not([open])")) {
    if (!unfolded.has(fold(details))) continue;
    details.open = true;
    const log = details.querySelector("pre");
    if (log) log.scrollTop = log.scrollHeight;
  }
}

function drawn() {
  unfold();
  // Gradio takes our own relative links for foreign ones and sends them to a new tab.
  for (const link of document.querySelectorAll("#header a[target]")) link.removeAttribute("target");
  tabbed();
  compared();
  opened();
  caseOpened();
  addressed();
  kept();
}

function themed() {
  const chosen = localStorage.getItem("internkb-theme");
  if (chosen) document.body.classList.toggle("dark", chosen === "dark");
}

// Gradio puts the browser's language here; the page has one of its own.
function named() {
  if (words["lang.html"] && document.documentElement.lang !== words["lang.html"]) document.documentElement.lang = words["lang.html"];
}
named();
new MutationObserver(named).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });

new MutationObserver(drawn).observe(document.body, { childList: true, subtree: true });
// Gradio sets the theme from the system once it has started; the reader's own choice wins.
themed();
new MutationObserver(() => {
  const chosen = localStorage.getItem("internkb-theme");
  if (chosen && document.body.classList.contains("dark") !== (chosen === "dark")) themed();
}).observe(document.body, { attributes: true, attributeFilter: ["class"] });
