// The widgets that can be clicked, each with a short name, its kind and the pixels that reach it.

const IGNORED = '#query, #reward-display, #click-canvas, #sync-task-cover';
const WIDGETS =
  'a, button, input, textarea, select, summary, [role=button], [role=tab], [role=link], [onclick], .alink';
const FIELD_TYPES = new Set(
  ['text', 'password', 'email', 'number', 'search', 'tel', 'url', 'date', 'time', 'input'],
);

function listensToClicks(el) {
  if (el.__onclick || el.onclick) return true; // __onclick is where d3 keeps its listener.
  const events = window.jQuery && jQuery._data ? jQuery._data(el, 'events') : null;
  return Boolean(events && events.click);
}

function candidates() {
  const all = [...document.body.querySelectorAll('*')].filter(
    (el) => !el.closest(IGNORED) && (el.matches(WIDGETS) || listensToClicks(el)),
  );
  const kept = new Set(all);
  // A container that listens is no target of its own when what it contains listens too.
  for (const el of all) for (let up = el.parentElement; up; up = up.parentElement) kept.delete(up);
  return all.filter((el) => kept.has(el));
}

function roleOf(el) {
  const tag = el.tagName.toLowerCase();
  if (tag === 'textarea') return 'text_field';
  if (tag === 'select') return 'drop_down';
  if (tag === 'input') {
    if (el.type === 'checkbox' || el.type === 'radio') return el.type;
    if (el.type === 'range') return 'slider';
    return FIELD_TYPES.has(el.type) ? 'text_field' : 'button';
  }
  if (el.getAttribute('role') === 'tab' || el.closest('[role=tab]')) return 'tab';
  if (tag === 'button' || el.getAttribute('role') === 'button') return 'button';
  if (tag === 'a' || el.classList.contains('alink')) return 'link';
  return el instanceof SVGElement ? 'shape' : 'item';
}

function labelText(el) {
  const label = el.labels && el.labels.length ? el.labels[0] : null;
  if (label) return words(label.textContent);
  const before = el.previousElementSibling;
  if (before && /^(LABEL|SPAN|P)$/.test(before.tagName)) return words(before.textContent).replace(/:$/, '');
  return '';
}

function shapeName(el) {
  const kinds = { rect: 'rectangle', polygon: 'triangle', circle: 'circle' };
  const kind = kinds[el.tagName] || words(el.textContent) || el.tagName;
  const colour = el.getAttribute('fill') || '';
  return words(`${/^[a-z]+$/.test(colour) ? colour : ''} ${el.id && el.id.startsWith('(') ? el.id : kind}`);
}

function nameOf(el, role) {
  const given = el.getAttribute('aria-label') || '';
  if (el.classList.contains('ui-dialog-titlebar-close')) return 'x';
  if (role === 'text_field') return words(given || el.placeholder || labelText(el)).slice(0, 40);
  if (role === 'checkbox' || role === 'radio' || role === 'slider' || role === 'drop_down') {
    return words(given || labelText(el)).slice(0, 40);
  }
  if (role === 'shape') return shapeName(el);
  const text = el.tagName === 'INPUT' ? el.value : el.textContent;
  return words(given || text || el.title || el.dataset.color || el.alt).slice(0, 40);
}

const ORDINALS = ['1st', '2nd', '3rd'];
const KIND_NAMES = { text_field: 'text field', drop_down: 'list', checkbox: 'checkbox', radio: 'radio button' };

function visibleElements() {
  const found = [];
  for (const el of candidates()) {
    const box = clickableBox(el);
    if (!box) continue;
    const role = roleOf(el);
    found.push({ name: nameOf(el, role), role, box });
  }
  for (const [role, kind] of Object.entries(KIND_NAMES)) {
    const unnamed = found.filter((one) => one.role === role && !one.name);
    unnamed.forEach((one, index) => {
      const ordinal = ORDINALS[index] || `${index + 1}th`;
      one.name = unnamed.length > 1 ? `${ordinal} ${kind}` : kind;
    });
  }
  return found.filter((one) => one.name);
}

return visibleElements();
