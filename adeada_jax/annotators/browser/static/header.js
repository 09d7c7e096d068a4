// The line above: how far the round is, who is at work, and what was not sent yet.

const at = (id) => document.getElementById(id);

export function showStatus(status) {
  const total = status.regions ?? 0;
  const done = total - (status.open ?? 0);
  at("title").textContent = status.title ?? "Labels";
  at("done").style.width = `${total ? (100 * done) / total : 0}%`;
  at("figures").textContent = total ? figures(status, done) : "";
  at("people").textContent = (status.people ?? []).join(", ");
  at("people").title = "at work";
}

function figures(status, done) {
  const parts = [`${count(done)} of ${count(status.regions)} regions`];
  parts.push(`${count(status.pixels_answered)} of ${count(status.pixels)} pixels`);
  if (status.median_seconds !== null) parts.push(`${status.median_seconds.toFixed(1)} s a region`);
  if (status.open && status.seconds_left !== null) parts.push(`about ${time(status.seconds_left)} left`);
  return parts.join(" · ");
}

function count(number) {
  return number.toLocaleString("en");
}

function time(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function showQueue(queue) {
  const waiting = at("waiting");
  waiting.hidden = queue.length + queue.foreign === 0;
  waiting.dataset.count = queue.length;
  const words = queue.length === 1 ? "1 answer not sent yet" : `${queue.length} answers not sent yet`;
  const foreign = queue.foreign ? `${queue.foreign} answers to another run wait for its page` : "";
  const own = queue.trouble ? `${words}: ${queue.trouble}` : words;
  waiting.textContent = [queue.length ? own : "", foreign].filter(Boolean).join("; ");
  waiting.classList.toggle("trouble", Boolean(queue.trouble));
}

// What there is to say where no region lies on the desk.
export function nothingToDo(status, trouble) {
  if (trouble) return `${trouble[0].toUpperCase()}${trouble.slice(1)}. The page goes on by itself when that is over.`;
  if (!status) return "";
  if (!status.request) return "The run has asked for nothing yet. The page goes on by itself when it does.";
  if (status.open && status.for_others === status.open) {
    return `${status.open} regions of which you were unsure wait for somebody else.`;
  }
  if (status.open) return `${status.open} regions are in other people's hands. The page goes on by itself.`;
  const next = { ready: "The run goes on once it is started again, or by itself where it waits.",
    closed: "The round was closed; what is open went back to the pool.",
    "gone on": "The run trains now. The page goes on by itself when it asks again." };
  return `All is answered. ${next[status.situation] ?? ""}`;
}
