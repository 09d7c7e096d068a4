// The page's dialogs: a name, a class by its name, the whole image, the keys.

import { CLASS_KEYS, COMMANDS } from "./keys.js";
import { drawOverview } from "./overview.js";
import { identity } from "./server.js";

const at = (id) => document.getElementById(id);

export function anyOpen() {
  return document.querySelector("dialog[open]") !== null;
}

// Asks for a name until there is one.
export function askName(why = "") {
  const dialog = at("who");
  at("why").textContent = why;
  at("name").value = identity.name;
  return new Promise((resume) => {
    if (!dialog.open) dialog.showModal();
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      identity.name = at("name").value.trim();
      resume();
    };
  });
}

export function findClass(classes, choose) {
  const dialog = at("find");
  const part = at("part");
  const fill = () => {
    const words = part.value.toLocaleLowerCase();
    const found = classes.map((one, id) => [one, id]).filter(([one]) => one.name.toLocaleLowerCase().includes(words));
    at("found").replaceChildren(...found.slice(0, 30).map(([one, id]) => classButton(one, id, () => {
      dialog.close();
      choose(id);
    })));
  };
  part.value = "";
  part.oninput = fill;
  part.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    at("found").querySelector("button")?.click();
  };
  fill();
  dialog.showModal();
}

export function classButton(one, id, act) {
  const button = document.createElement("button");
  const swatch = document.createElement("i");
  const name = document.createElement("span");
  button.type = "button";
  button.dataset.class = id;
  button.setAttribute("role", "option");
  swatch.className = "swatch";
  swatch.style.backgroundColor = `rgb(${one.color.join(" ")})`;
  name.dir = "auto";
  name.textContent = one.name;
  button.append(swatch, name);
  if (CLASS_KEYS[id]) {
    const key = document.createElement("kbd");
    key.textContent = CLASS_KEYS[id];
    button.append(key);
  }
  button.addEventListener("click", act);
  return button;
}

export function showOverview(task, filter, tell) {
  const dialog = at("whole");
  dialog.showModal();
  drawOverview(dialog.querySelector("canvas"), task, filter).catch((error) => {
    dialog.close();
    tell(error.message);
  });
}

export function showKeys() {
  const rows = COMMANDS.map(([keys, , words]) => row(keys.map((key) => (key === " " ? "Space" : key)), words));
  rows.unshift(row(["1 … 9 0", "q … m"], "a class: of the whole region, or of what is painted"));
  at("keys").querySelector("tbody").replaceChildren(...rows);
  at("keys").showModal();
  at("keys").scrollTop = 0; // rather than at the button
}

function row(keys, words) {
  const line = document.createElement("tr");
  const left = document.createElement("th");
  const right = document.createElement("td");
  for (const key of keys) {
    const mark = document.createElement("kbd");
    mark.textContent = key;
    left.append(mark, " ");
  }
  right.textContent = words;
  line.append(left, right);
  return line;
}
