// Keys: one table says what each does, and the help shows the same table.

export const CLASS_KEYS = [..."1234567890qwertyuiopasdfghjklzxcvbnm"];

// [keys, command, what it does]; commands are methods of the desk.
export const COMMANDS = [
  [["Enter"], "accept", "take the suggestion, or hand in what is painted"],
  [["Delete", "Shift+N"], "refuse", "nothing to label here"],
  [["Shift+U"], "unsure", "not sure: somebody else decides"],
  [["+", "="], "finer", "divide the region into finer cells"],
  [["-"], "coarser", "coarser cells, or none"],
  [["Shift+B"], "brush", "brush"],
  [["<", ","], "smaller", "smaller brush"],
  [[">", "."], "larger", "larger brush"],
  [["Shift+P"], "polygon", "polygon; Enter closes it"],
  [[" "], "act", "paint at the cursor, or set a corner"],
  [["Shift+E"], "erase", "eraser: what it paints has no class"],
  [["Shift+F"], "fillRest", "paint the rest with the chosen class"],
  [["Escape"], "leave", "leave the tool"],
  [["Ctrl+Z"], "undo", "undo"],
  [["Ctrl+Y", "Ctrl+Shift+Z"], "redo", "redo"],
  [["Backspace"], "back", "back to your former answer, to correct it"],
  [["/"], "search", "find a class by its name"],
  [["]"], "brighter", "brighter"],
  [["["], "darker", "darker"],
  [["}"], "moreContrast", "more contrast"],
  [["{"], "lessContrast", "less contrast"],
  [["Shift+A"], "autoLight", "brightness by the surroundings"],
  [["Shift+R"], "resetView", "look as at the beginning"],
  [["Shift+O"], "overview", "the whole image"],
  [["Shift+V"], "plain", "the photograph alone, while pressed"],
  [["("], "takeOne", "third look: take the one answer"],
  [[")"], "takeOther", "third look: take the other"],
  [["Shift+L"], "theme", "light or dark page"],
  [["?"], "help", "these keys"],
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const table = new Map(COMMANDS.flatMap(([keys, command]) => keys.map((key) => [key, command])));

// The Latin letter of a key, also where the keyboard writes others, and whatever CapsLock says.
function keyOf(event) {
  if (!/^\p{L}$/u.test(event.key)) return event.key;
  const latin = /^[a-z]$/i.test(event.key) ? event.key : (/^Key([A-Z])$/.exec(event.code)?.[1] ?? event.key);
  return latin.toLowerCase();
}

// AltGr, by which many keyboards write brackets, is told as Ctrl and Alt together.
function byAltGraph(event) {
  return Boolean(event.getModifierState?.("AltGraph"));
}

function withControl(event) {
  return (event.ctrlKey && !byAltGraph(event)) || event.metaKey;
}

export function nameOf(event) {
  const key = keyOf(event);
  const letter = /^\p{L}$/u.test(key);
  const control = withControl(event) ? "Ctrl+" : "";
  const shift = event.shiftKey && (letter || key.length > 1) ? "Shift+" : "";
  return control + shift + (letter && (shift || control) ? key.toUpperCase() : key);
}

// What a key means: a command, a class or a direction; null where it means nothing here.
export function meaningOf(event, classes) {
  if (event.isComposing || (event.altKey && !byAltGraph(event))) return null;
  const name = nameOf(event);
  if (table.has(name)) return { command: table.get(name) };
  if (withControl(event)) return null;
  if (ARROWS[event.key]) return { arrow: ARROWS[event.key], far: event.shiftKey };
  const found = CLASS_KEYS.indexOf(name);
  return found >= 0 && found < classes ? { class: found } : null;
}
