// The expert's next action for the page as it is now, from the goal and the DOM.
// Returns {action, boxes, thought}, null when nothing is left to do, or {missing} for a lost target.

const { env, goal } = argument;
const one = (selector) => document.querySelector(selector);
const every = (selector) => [...document.querySelectorAll(selector)];
const quoted = () => [...goal.matchAll(/"(.+?)"/g)].map((match) => match[1]);
const withText = (selector, text) => every(selector).find((el) => words(el.textContent) === text);

function click(el, name) {
  const box = el && clickableBox(el);
  if (!box) return el ? towards(el, name) : { missing: name };
  const [left, top, right, bottom] = box;
  const x = Math.floor((left + right) / 2);
  const y = Math.floor((top + bottom) / 2);
  return { action: { type: 'click', x, y }, boxes: [box], thought: name };
}

// Scroll the innermost scrolling area that holds the widget, over its middle.
function towards(el, name) {
  for (let up = el.parentElement; up; up = up.parentElement) {
    const style = getComputedStyle(up).overflowY;
    if (up.scrollHeight <= up.clientHeight || !/auto|scroll/.test(style)) continue;
    const area = visibleRect(up);
    const target = el.getBoundingClientRect();
    if (!area) break;
    const direction = target.top < area.top ? 'up' : 'down';
    const x = Math.floor((area.left + area.right) / 2);
    const y = Math.floor((area.top + area.bottom) / 2);
    const box = [area.left, area.top, area.right, area.bottom];
    return { action: { type: 'scroll', direction, x, y }, boxes: [box], thought: direction };
  }
  return { missing: name };
}

const type = (text) => ({ action: { type: 'type', text }, thought: text });
const press = (key) => ({ action: { type: 'key', key }, thought: key });
const first = (...steps) => {
  for (const step of steps) {
    const result = step();
    if (result) return result;
  }
  return null;
};

// Make a text field hold `text`: focus it, clear what is wrong, type what is missing.
function fill(field, text, name) {
  if (!field) return { missing: name };
  if (field.value === text) return null;
  if (document.activeElement !== field) return click(field, name);
  if (text.startsWith(field.value) && field.selectionStart === field.value.length) {
    return type(text.slice(field.value.length));
  }
  const allSelected = field.selectionStart === 0 && field.selectionEnd === field.value.length;
  return allSelected ? type(text) : press('Control+A');
}

const submit = () => click(one('#subbtn') || one('#submit') || withText('button', 'Submit'), 'submit');
const tick = (el, wanted, name) => (el && el.checked === wanted ? null : click(el, name));

// ---- one function per page ----

const experts = {
  'click-test': () => click(one('#subbtn'), 'Click Me!'),
  'click-test-2': () => click(one('#subbtn'), 'ONE'),
  'click-test-transfer': () => click(one('#subbtn'), 'ONE'),
  'click-button-sequence': () =>
    buttonsPushed.length === 0 ? click(one('#subbtn'), 'ONE') : click(one('#subbtn2'), 'TWO'),
  'focus-text': () => click(one('#tt'), 'text field'),
  'focus-text-2': () => {
    const ordinal = /(1st|2nd|3rd)/.exec(goal)[1];
    return click(one(`#tt${ordinal[0]}`), `${ordinal} text field`);
  },
  'click-button': () => click(withText('#area button', quoted()[0]), quoted()[0]),
  'unicode-test': () => click(withText('#area button', quoted()[0]), quoted()[0]),
  'click-color': () => {
    const colour = /on the (\S+) colored/.exec(goal)[1];
    return click(one(`#area .color[data-color="${colour}"]`), colour);
  },
  'click-dialog': () => click(one('.ui-dialog-titlebar-close'), 'x'),
  'click-dialog-2': () => {
    const name = quoted()[0];
    const button = name === 'x' ? one('.ui-dialog-titlebar-close') : withText('.ui-dialog button', name);
    return click(button, name);
  },
  'click-tab': () => {
    const name = /(Tab #\d)/.exec(goal)[1];
    return click(withText('#area ul a', name), name);
  },
  'click-link': () => click(withText('.alink', quoted()[0]), quoted()[0]),
  'enter-text': () => first(() => fill(one('#tt'), quoted()[0], 'text field'), submit),
};

return experts[env]();
