// What lies under points, what has the focus and what Enter may press there. Runs in a world of its own, so
// that a page cannot change the functions used here; forms may still hide properties behind names of their
// fields, so that attributes are read by the function of the prototype.

const CONTROLS =
  'a[href], area[href], button, input, select, textarea, summary, label, [role=button], [role=link], ' +
  '[role=menuitem], [role=option], [role=tab], [role=switch], [role=checkbox], [role=radio], [onclick], ' +
  '[contenteditable=""], [contenteditable=true]';
const DIALOGS = 'dialog, [role=dialog], [role=alertdialog], [aria-modal=true]';
const SUBMITS = 'button:not([type=button]):not([type=reset]), input[type=submit], input[type=image]';
const TYPED = new Set([
  '', 'text', 'password', 'email', 'number', 'search', 'tel', 'url', 'date', 'time', 'month', 'week',
  'datetime-local',
]);
const OPAQUE = new Set(['canvas', 'video', 'embed', 'object', 'iframe', 'frame']);
const MOST_LETTERS = 300;
const MOST_UP = 6;

const attr = (el, name) => Element.prototype.getAttribute.call(el, name) || '';
const closest = (el, what) => Element.prototype.closest.call(el, what);
const all = (el, what) => [...Element.prototype.querySelectorAll.call(el, what)];
const tagOf = (el) => el.localName || '';
const typeOf = (el) => attr(el, 'type').toLowerCase();
const short = (text) => (text || '').replace(/\s+/g, ' ').trim().slice(0, MOST_LETTERS);
// Out of shadow trees and frames of the same site.
const above = (el) => {
  if (el.parentElement) return el.parentElement;
  const root = el.getRootNode();
  if (root instanceof ShadowRoot) return root.host;
  try { return root.defaultView && root.defaultView.frameElement; } catch { return null; }
};

function inside(frame) {
  try { return frame.contentDocument; } catch { return null; }
}

function deepest(x, y) {
  let root = document;
  let found = null;
  for (;;) {
    const el = root.elementFromPoint(x, y);
    if (!el || el === found) return found;
    found = el;
    if (el.shadowRoot) {
      root = el.shadowRoot;
    } else if (tagOf(el) === 'iframe' || tagOf(el) === 'frame') {
      const inner = inside(el);
      if (!inner) return found;
      const box = el.getBoundingClientRect();
      x -= box.left + el.clientLeft;
      y -= box.top + el.clientTop;
      root = inner;
    } else {
      return found;
    }
  }
}

function active() {
  let el = document.activeElement;
  for (;;) {
    const inner = el && (el.shadowRoot || (/^i?frame$/.test(tagOf(el)) && inside(el)));
    if (!inner || !inner.activeElement) break;
    el = inner.activeElement;
  }
  return el && !/^(body|html)$/.test(tagOf(el)) ? el : null;
}

function roleOf(el) {
  const tag = tagOf(el);
  const role = attr(el, 'role');
  if (tag === 'textarea' || (tag === 'input' && TYPED.has(typeOf(el))) || el.isContentEditable) {
    return 'text_field';
  }
  if (tag === 'button' || tag === 'summary' || role === 'button') return 'button';
  if (tag === 'input') return /^(checkbox|radio)$/.test(typeOf(el)) ? typeOf(el) : 'button';
  if (tag === 'a' || role === 'link') return 'link';
  if (tag === 'select') return 'drop_down';
  return role || (OPAQUE.has(tag) ? tag : 'text');
}

function painted(el) {
  const texts = ['::before', '::after'].map((part) => getComputedStyle(el, part).content);
  return texts.filter((text) => /^["']/.test(text)).map((text) => text.slice(1, -1));
}

function labelsOf(el) {
  const field = roleOf(el) === 'text_field';
  const texts = [attr(el, 'aria-label'), attr(el, 'title'), attr(el, 'alt'), attr(el, 'placeholder')];
  for (const id of attr(el, 'aria-labelledby').split(/\s+/).filter(Boolean)) {
    const other = el.getRootNode().getElementById && el.getRootNode().getElementById(id);
    if (other) texts.push(other.textContent);
  }
  if (tagOf(el) === 'input' && !field) texts.push(el.value);
  if (el.labels) for (const label of el.labels) texts.push(label.textContent);
  if (!field && tagOf(el) !== 'select') {
    texts.push(el instanceof HTMLElement ? el.innerText : el.textContent, ...painted(el));
    const named = all(el, '[alt], [aria-label], [title], svg title');
    if (named.length < 5) {
      for (const one of named) texts.push(attr(one, 'alt'), attr(one, 'aria-label'), attr(one, 'title'));
    }
  }
  return [...new Set(texts.map(short).filter(Boolean))];
}

function whole(address, el) {
  try { return new URL(address, el.baseURI).href; } catch { return ''; }
}

function formOf(el) {
  const id = attr(el, 'form');
  const root = el.getRootNode();
  return (id && root.getElementById && root.getElementById(id)) || closest(el, 'form');
}

function linkOf(el) {
  const anchor = closest(el, 'a, area');
  if (anchor) {
    const address = attr(anchor, 'href') || attr(anchor, 'xlink:href');
    return address ? whole(address, el) : '';
  }
  const button = closest(el, SUBMITS);
  const form = button && formOf(button);
  if (!form) return '';
  const address = attr(button, 'formaction') || attr(form, 'action');
  return address ? whole(address, el) : '';
}

function targetOf(el) {
  const tag = tagOf(el);
  return {
    labels: labelsOf(el),
    identifier: [attr(el, 'id'), attr(el, 'name')].filter(Boolean).join(' ').slice(0, MOST_LETTERS),
    role: roleOf(el),
    link: linkOf(el),
    password: tag === 'input' && typeOf(el) === 'password',
    opaque: OPAQUE.has(tag) && !(/^i?frame$/.test(tag) && inside(el)),
  };
}

// The element and what it belongs to: up to the control around it, or to the first that has a name.
function reached(el) {
  const found = [];
  for (let one = el; one && found.length < MOST_UP; one = above(one)) {
    if (/^(body|html)$/.test(tagOf(one))) break;
    const target = targetOf(one);
    found.push(target);
    if (Element.prototype.matches.call(one, CONTROLS)) return found;
  }
  const named = found.findIndex((one) => one.labels.length > 0);
  return found.slice(0, named < 0 ? 1 : named + 1);
}

function submitsOf(el) {
  const form = formOf(el);
  if (form) {
    const buttons = all(form, SUBMITS);
    if (buttons.length) return buttons.slice(0, 1).map(targetOf);
  }
  for (let one = el, up = 0; one && up < MOST_UP; one = above(one), up++) {
    const buttons = all(one, 'button, input[type=submit], input[type=button], [role=button]');
    if (buttons.length) return buttons.slice(0, 5).map(targetOf);
  }
  // A form without a button is still sent somewhere.
  const address = form ? attr(form, 'action') : '';
  const bare = { labels: [], identifier: '', role: 'button', password: false, opaque: false };
  return address ? [{ ...bare, link: whole(address, el) }] : [];
}

// The words of the dialog around an element, or of the largest small part of the page that it is in.
function contextOf(el) {
  let around = closest(el, DIALOGS);
  for (let one = el, up = 0; !closest(el, DIALOGS) && one && up < MOST_UP; one = above(one), up++) {
    if (/^(body|html)$/.test(tagOf(one)) || (one.innerText || '').length > 400) break;
    around = one;
  }
  return around ? (around.innerText || '').split('\n').map(short).filter(Boolean).slice(0, 16) : [];
}

const hits = argument.points.map(([x, y]) => deepest(x, y)).filter(Boolean);
const focused = active();
return {
  hit: hits.flatMap(reached),
  focus: focused && targetOf(focused),
  submits: focused ? submitsOf(focused) : [],
  context: hits.length ? contextOf(hits[0]) : [],
};
