// Geometry of widgets, in whole pixels of the screenshot. Pasted in front of the scripts that use it.

const inView = (rect, clip) => ({
  left: Math.max(rect.left, clip.left),
  top: Math.max(rect.top, clip.top),
  right: Math.min(rect.right, clip.right),
  bottom: Math.min(rect.bottom, clip.bottom),
});

// The part of a widget that no scrolling ancestor and no edge of the screen cuts off; null if none.
function visibleRect(el) {
  const style = getComputedStyle(el);
  if (style.visibility === 'hidden' || style.display === 'none' || +style.opacity === 0) return null;
  const area = (r) => r.width * r.height;
  // A link that wraps has one rectangle per line; the largest is the one to aim at.
  const rects = [...el.getClientRects()].sort((a, b) => area(b) - area(a));
  if (!rects.length) return null;
  let rect = inView(rects[0], { left: 0, top: 0, right: innerWidth, bottom: innerHeight });
  for (let up = el.parentElement; up && up !== document.body; up = up.parentElement) {
    if (getComputedStyle(up).overflow !== 'visible') rect = inView(rect, up.getBoundingClientRect());
  }
  const box = {
    left: Math.ceil(rect.left),
    top: Math.ceil(rect.top),
    right: Math.floor(rect.right),
    bottom: Math.floor(rect.bottom),
  };
  return box.right - box.left >= 2 && box.bottom - box.top >= 2 ? box : null;
}

function hits(el, x, y) {
  const found = document.elementFromPoint(x, y);
  if (!found) return false;
  if (el.contains(found)) return true;
  const label = found.closest('label');
  return label !== null && (label.control === el || label.contains(el));
}

// A rectangle of pixels that reach the widget, as [left, top, right, bottom]; null if it is covered.
function clickableBox(el) {
  const box = visibleRect(el);
  if (!box) return null;
  const middle = { x: Math.floor((box.left + box.right) / 2), y: Math.floor((box.top + box.bottom) / 2) };
  // At most 8 by 8 points: a widget that covers less than an eighth of this one may be overlooked.
  const stride = (side) => Math.max(2, Math.ceil(side / 8));
  const [across, down] = [stride(box.right - box.left), stride(box.bottom - box.top)];
  let best = null;
  let everywhere = true;
  for (let y = box.top; y < box.bottom; y += down) {
    for (let x = box.left; x < box.right; x += across) {
      if (!hits(el, x, y)) {
        everywhere = false;
      } else {
        const distance = Math.abs(x - middle.x) + Math.abs(y - middle.y);
        if (!best || distance < best.distance) best = { x, y, distance };
      }
    }
  }
  if (everywhere) return [box.left, box.top, box.right, box.bottom];
  return best && grownFrom(el, best, box);
}

function grownFrom(el, point, box) {
  const grown = { left: point.x, top: point.y, right: point.x + 1, bottom: point.y + 1 };
  const row = (y) => {
    for (let x = grown.left; x < grown.right; x++) if (!hits(el, x, y)) return false;
    return true;
  };
  const column = (x) => {
    for (let y = grown.top; y < grown.bottom; y++) if (!hits(el, x, y)) return false;
    return true;
  };
  let moved = true;
  while (moved) {
    moved = false;
    if (grown.left > box.left && column(grown.left - 1)) { grown.left--; moved = true; }
    if (grown.right < box.right && column(grown.right)) { grown.right++; moved = true; }
    if (grown.top > box.top && row(grown.top - 1)) { grown.top--; moved = true; }
    if (grown.bottom < box.bottom && row(grown.bottom)) { grown.bottom++; moved = true; }
  }
  return [grown.left, grown.top, grown.right, grown.bottom];
}

const words = (text) => (text || '').replace(/\s+/g, ' ').trim();
