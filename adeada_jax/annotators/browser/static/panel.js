// The side panel: classes, what is suggested, and the two answers of a third look.

import { classButton } from "./dialogs.js";
import { expanded, insideOf } from "./runs.js";

const at = (id) => document.getElementById(id);
let shown = null;

export function showPanel(desk, act) {
  if (shown !== desk.classes) {
    shown = desk.classes;
    at("classes").replaceChildren(...desk.classes.map((one, id) => classButton(one, id, () => act(id))));
  }
  for (const button of at("classes").children) {
    const id = Number(button.dataset.class);
    button.setAttribute("aria-selected", String(Boolean(desk.task) && id === desk.chosen && desk.tool !== "whole"));
    button.classList.toggle("suggested", Boolean(desk.task) && id === desk.task.suggestion);
  }
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === desk.tool));
  }
  at("erase").setAttribute("aria-pressed", String(Boolean(desk.task) && !desk.classes[desk.chosen]));
  showTask(desk);
}

function showTask(desk) {
  const { task } = desk;
  const main = at("region");
  main.dataset.image = task?.image ?? "";
  main.dataset.region = task?.region ?? "";
  main.dataset.role = task?.role ?? "";
  main.dataset.ready = task && (desk.scene.bitmap || desk.error) ? "yes" : "no";
  main.dataset.tool = task ? desk.tool : "";
  main.dataset.level = task ? desk.level : 0;
  at("suggestion").hidden = !task || task.suggestion === null || task.role === "third";
  at("third").hidden = task?.role !== "third";
  at("where").textContent = task ? `${task.image}, region ${task.region}, ${task.pixels.toLocaleString("en")} pixels` : "";
  if (!task) return;
  at("accept").textContent = desk.labels.painted ? "Hand in" : "Take it";
  if (task.suggestion !== null) suggest(desk.classes[task.suggestion], task.probability);
  if (task.role === "third") [0, 1].forEach((i) => third(i, desk));
}

function suggest(one, probability) {
  const line = at("suggestion");
  line.querySelector(".swatch").style.backgroundColor = `rgb(${one.color.join(" ")})`;
  line.querySelector("b").textContent = one.name;
  at("sure").textContent = probability === null ? "" : `${Math.round(100 * probability)} %`;
}

// One of two answers, as a small picture and in words.
function third(i, desk) {
  const button = at("third").querySelectorAll("button")[i];
  const given = desk.task.given[i];
  const [, , width, height] = desk.task.box;
  const inside = insideOf(desk.task.runs, width * height);
  const values = given.kind === "mask" ? expanded(given.runs, width * height) : null;
  const canvas = button.querySelector("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  inside.forEach((own, pixel) => {
    const color = desk.classes[values ? values[pixel] : given.class]?.color;
    if (own) image.data.set(color ? [...color, 255] : [0, 0, 0, 255], 4 * pixel);
  });
  context.putImageData(image, 0, 0);
  button.querySelector("span").textContent = words(given, values, desk.classes);
}

function words(given, values, classes) {
  if (given.kind === "refused") return "nothing to label";
  if (!values) return classes[given.class].name;
  const found = [...new Set(values)].filter((id) => classes[id]);
  return found.map((id) => classes[id].name).join(", ");
}
