// Mouse, pen and fingers on the picture: tools paint, without one a drag moves the image; two fingers zoom.

export function listen(stage, picture, desk, effort) {
  const down = new Map(); // pointers by id, where they are
  let from = null; // where a tool was, of a stroke

  const spread = () => {
    const [one, other] = [...down.values()];
    return { gap: Math.hypot(one.x - other.x, one.y - other.y), x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
  };
  const paints = (event) => desk.task && desk.tool !== "whole" && event.button === 0 && down.size === 1;

  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (down.size === 2 && from) {
      desk.cancel();
      from = null;
    }
    if (!paints(event)) return;
    effort.click();
    from = picture.place(event.clientX, event.clientY);
    desk.press(from);
  });

  stage.addEventListener("pointermove", (event) => {
    if (!desk.task) return;
    const before = down.get(event.pointerId);
    const place = picture.place(event.clientX, event.clientY);
    if (!before) return desk.point(place);
    if (down.size === 2) {
      const [old, bounds] = [spread(), stage.getBoundingClientRect()];
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const now = spread();
      picture.pan(now.x - old.x, now.y - old.y);
      return picture.zoom(now.gap / old.gap || 1, now.x - bounds.left, now.y - bounds.top);
    }
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (!from) return picture.pan(event.clientX - before.x, event.clientY - before.y);
    desk.point(place, from);
    from = place;
  });

  const up = (event) => {
    down.delete(event.pointerId);
    if (from) desk.release();
    from = null;
  };
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const bounds = stage.getBoundingClientRect();
    picture.zoom(Math.exp(-event.deltaY / 400), event.clientX - bounds.left, event.clientY - bounds.top);
  }, { passive: false });
}
