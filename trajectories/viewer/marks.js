// Elements, words and marks that the scripts of a page share. Text enters a page as text nodes only; nothing
// here parses markup.
"use strict";
const { h, s, spoken, number, badge, keepFocus, mark, outline } = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  const h = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") node.style.cssText = value; // a strict policy forbids the attribute
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  };
  const s = (tag, attributes, ...children) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const spoken = (text) => String(text).replaceAll("_", " ");
  const number = (value) => (value === null || value === undefined ? "–" : String(Math.round(value * 1000) / 1000).replace("-", "−"));
  const badge = (text, kind, title) => h("span", { class: `badge ${kind || ""}`, title }, text);

  // Draws anew without taking the focus from who moves by keyboard: what has the same data-focus gets it back.
  function keepFocus(box, drawing) {
    const active = document.activeElement;
    const name = active && box.contains(active) ? active.dataset.focus : undefined;
    drawing();
    if (name === undefined) return;
    const again = [...box.querySelectorAll("[data-focus]")].find((node) => node.dataset.focus === name);
    if (again) again.focus({ preventScroll: true });
  }

  // Marks on a screenshot, in its pixels; unit is a length that looks the same on any screen.

  // A scroll is an arrow towards the content that it brings into view.
  function ends(action, width, height, unit) {
    if (!action.direction) return action.points;
    const [x, y] = action.points[0] || [width / 2, height / 2];
    const [dx, dy] = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] }[action.direction];
    return [[x, y], [x + dx * unit * 14, y + dy * unit * 14]];
  }

  function arrow(start, end, unit) {
    const dx = end[0] - start[0], dy = end[1] - start[1], length = Math.hypot(dx, dy) || 1;
    const ux = dx / length, uy = dy / length, head = unit * 3.4;
    const wing = (side) => `${end[0] - head * ux - side * head * 0.6 * uy} ${end[1] - head * uy + side * head * 0.6 * ux}`;
    return `M${start[0]} ${start[1]} L${end[0]} ${end[1]} M${wing(1)} L${end[0]} ${end[1]} L${wing(-1)}`;
  }

  function mark(drawing, action, kind, width, height, unit) {
    const [start, end] = ends(action, width, height, unit);
    if (!start) return;
    const [x, y] = start;
    for (const halo of [true, false]) {
      const look = { class: `mark ${halo ? "halo" : kind}`, "stroke-width": unit * (halo ? 1.5 : 0.75) };
      if (end) {
        drawing.append(s("circle", { ...look, cx: x, cy: y, r: unit * 1.3 }), s("path", { ...look, d: arrow(start, end, unit) }));
      } else {
        drawing.append(s("circle", { ...look, cx: x, cy: y, r: unit * (action.kind === "long_press" ? 4.4 : 3.2) }));
        if (action.kind !== "click") drawing.append(s("circle", { ...look, cx: x, cy: y, r: unit * 1.9 }));
        if (!halo) drawing.append(s("circle", { class: `dot ${kind}`, cx: x, cy: y, r: unit * 0.8 }));
      }
    }
  }

  // Where an action begins, and the arrow that it makes, if any.
  function outline(action, width, height, unit) {
    const [start, end] = ends(action, width, height, unit);
    return { start, line: start && end ? arrow(start, end, unit) : null };
  }

  return { h, s, spoken, number, badge, keepFocus, mark, outline };
})();
