// Begins: puts the parts together, listens to keys and buttons, and looks at the server every two seconds.

import { Effort } from "./clock.js";
import { Desk } from "./desk.js";
import { anyOpen, askName, findClass, showKeys, showOverview } from "./dialogs.js";
import { nothingToDo, showQueue, showStatus } from "./header.js";
import { meaningOf } from "./keys.js";
import { showPanel } from "./panel.js";
import { Picture } from "./picture.js";
import { listen } from "./pointer.js";
import { Queue } from "./queue.js";
import { get, identity, pause, takeToken } from "./server.js";
import { storage } from "./storage.js";

const LOOK_MS = 2000;
const RENEW_MS = 60000;
const at = (id) => document.getElementById(id);

takeToken();
addEventListener("hashchange", () => {
  if (takeToken()) location.reload(); // a new link, opened where the page was open
});
const frames = [];
const effort = new Effort();
const queue = new Queue();
const picture = new Picture(at("photo"), at("over"), frames);
const desk = new Desk(picture, queue, effort);
let status = null;
let quiet = 0;
let trouble = "";
window.adeada = { frames, desk, queue, picture };

// Commands of the page itself; the others are the desk's.
const page = {
  search: () => findClass(desk.classes, (id) => desk.classKey(id)),
  help: () => showKeys(),
  overview: () => desk.task && showOverview(desk.task, picture.photo.style.filter || "none", (words) => desk.tell(words)),
  brighter: () => picture.lighten(picture.light.brightness * 1.25, picture.light.contrast),
  darker: () => picture.lighten(picture.light.brightness / 1.25, picture.light.contrast),
  moreContrast: () => picture.lighten(picture.light.brightness, picture.light.contrast * 1.15),
  lessContrast: () => picture.lighten(picture.light.brightness, picture.light.contrast / 1.15),
  autoLight: () => desk.scene?.bitmap && picture.lightenBySurroundings(),
  resetView: () => {
    picture.lighten(1, 1);
    picture.fit();
  },
  plain: () => {
    picture.plain = true;
    picture.draw();
  },
  theme: () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
};

function run(command) {
  effort.click();
  if (page[command]) page[command]();
  else desk[command]();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.querySelector('[data-command="theme"]').textContent = theme === "dark" ? "Light" : "Dark";
  storage.set("adeada.theme", theme);
}

function tell({ words, kind }) {
  const message = at("message");
  message.textContent = words;
  message.className = kind;
  clearTimeout(quiet);
  quiet = setTimeout(() => (message.textContent = ""), kind === "trouble" ? 15000 : 7000);
}

addEventListener("keydown", (event) => {
  if (anyOpen() || event.target instanceof HTMLInputElement) return;
  const meaning = meaningOf(event, desk.classes.length);
  if (!meaning) return;
  const button = event.target instanceof HTMLButtonElement && (event.key === "Enter" || event.key === " ");
  if (button && event.target.matches(":focus-visible")) return; // the button's own key
  event.preventDefault();
  if (event.repeat && !meaning.arrow) return;
  if (meaning.command) run(meaning.command);
  else effort.click();
  if (meaning.arrow) desk.arrow(meaning.arrow, meaning.far);
  if (meaning.class !== undefined) desk.classKey(meaning.class);
});

addEventListener("keyup", () => {
  if (!picture.plain) return;
  picture.plain = false;
  picture.draw();
});

addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-command]");
  if (!button) return;
  run(button.dataset.command);
  if (event.detail) button.blur(); // so that the next key is the page's again
});

addEventListener("beforeunload", (event) => {
  if (queue.fleeting) event.preventDefault();
});

function show() {
  showPanel(desk, (id) => {
    effort.click();
    if (desk.tool === "whole" && !desk.labels?.painted) desk.classKey(id);
    else desk.choose(id);
    document.activeElement?.blur();
  });
  at("nothing").hidden = Boolean(desk.task);
  at("nothing").textContent = desk.task ? "" : nothingToDo(status, trouble);
  showQueue(queue);
}

async function meet({ message, wants }) {
  if (wants !== "name") return tell({ words: message, kind: "trouble" });
  identity.token = ""; // another server's, at the same address
  if (!anyOpen()) await askName(identity.name ? message : "");
  queue.send();
}

async function look() {
  try {
    status = await get(`/api/status`);
    trouble = "";
    showStatus(status);
    queue.meet(status);
    await desk.begin(status);
    if (!desk.task) await desk.refill();
  } catch (error) {
    if (error.status === 401) await meet(error);
    else trouble = error.message;
  }
  show();
}

desk.addEventListener("change", show);
desk.addEventListener("here", () => (at("here").textContent = desk.here));
desk.addEventListener("tell", (event) => tell(event.detail));
desk.addEventListener("stranger", (event) => meet(event.detail));
queue.addEventListener("change", () => showQueue(queue));
queue.addEventListener("refused", (event) => tell({ words: `an answer was not taken: ${event.detail}`, kind: "trouble" }));
queue.addEventListener("stranger", (event) => meet(event.detail));
listen(at("stage"), picture, desk, effort);
setTheme(storage.get("adeada.theme") || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
setInterval(() => effort.idle || desk.refill(), RENEW_MS);
if (!identity.token && !identity.name) await askName();
await desk.claim();
for (;;) {
  await look();
  await pause(LOOK_MS);
}
