// The page of the demo. It draws what the server tells over one WebSocket, and sends what a person decides;
// docs/demo.md lists the messages. Words of goals, models and screens enter the page as text nodes only.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
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
  const s = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const show = (node, shown) => { node.hidden = !shown; };
  const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const spoken = (text) => String(text).replaceAll("_", " ");
  const duration = (seconds) => (seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);
  const counted = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const clamp = (value, low, high) => Math.max(low, Math.min(value, high));

  const page = {
    hello: null, control: { controller: null, you: false, watchers: 0 }, state: null, budget: null,
    proposal: null, said: {}, steps: [], episodes: [], notices: [], exports: [],
    shown: null, // index of the step that is looked at; null is live
    live: null, // newest frame: number, width, height, bitmap
    told: null, // the newest state with a goal
    draft: null, // the action that is to be performed instead
    byHand: false, // wanted without an episode; in one, state.takeover says it
    gesture: null, cross: null, mark: null, since: 0,
  };
  const phase = () => (page.state ? page.state.phase : "idle");
  const running = () => phase() !== "idle";
  const mine = () => link.open && page.control.you;
  const waits = () => Boolean(page.proposal && page.proposal.needs !== "nothing" && phase() === "waiting");
  const hands = () => (running() ? Boolean(page.state.takeover) : page.byHand);
  const aiming = () => mine() && page.shown === null && (hands() || waits());

  // The connection

  const link = { socket: null, open: false, tries: 0, timer: 0, id: 0, asked: new Map(), had: false };

  function connect() {
    clearTimeout(link.timer);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => (event.data instanceof ArrayBuffer ? receiveFrame(event.data) : receive(JSON.parse(event.data)));
    socket.onclose = () => { if (link.socket === socket) lost(); };
    link.socket = socket;
  }

  function lost() {
    link.open = false;
    link.tries += 1;
    link.asked.clear();
    $("demo").dataset.link = "lost";
    link.timer = setTimeout(connect, Math.min(500 * 2 ** (link.tries - 1), 8000));
    if (link.tries === 3) alarm("lost", "The demo does not answer. If it was started again, open the address that it printed.");
    render();
  }

  function send(type, fields = {}) {
    if (!link.open) return;
    link.id += 1;
    link.asked.set(link.id, type);
    link.socket.send(JSON.stringify({ type, id: link.id, ...fields }));
  }
  const order = (type, fields) => { if (mine()) send(type, fields); };

  const handlers = {
    hello(event) {
      Object.assign(page, { hello: event, state: null, control: { controller: null, you: false, watchers: 0 }, steps: [], episodes: [], notices: [], proposal: null, said: {}, shown: null, draft: null });
      Object.assign(link, { open: true, tries: 0 });
      $("demo").dataset.link = "open";
      calm("lost");
      $("edit-kind").replaceChildren(...Object.keys(FIELDS).filter((kind) => event.actions.includes(kind)).map((kind) => h("option", { value: kind }, spoken(kind))));
      $("examples").replaceChildren(...event.examples.map((goal) => h("button", { type: "button", class: "small", dir: "auto", onclick: () => { $("goal").value = goal; $("goal").focus(); } }, goal)));
    },
    control(event) {
      page.control = event;
      if (event.you) link.had = true;
      else if (event.controller === null && link.had) send("claim"); // it was ours before the connection broke
      else if (event.controller !== null) link.had = false;
    },
    state(event) {
      const before = page.state;
      page.state = event;
      if (!before || before.phase !== event.phase || before.step !== event.step) page.since = performance.now();
      if (before && event.episode_id && before.episode_id !== event.episode_id) Object.assign(page, { steps: [], proposal: null, said: {}, shown: null, draft: null, notices: [] });
      if (event.goal && running()) page.told = event; // whose goal stands in the field, unless somebody writes another
      if (event.goal && running() && document.activeElement !== $("goal")) $("goal").value = event.goal;
      if (document.activeElement !== $("hint")) $("hint").value = event.hint;
      if (event.phase === "idle" && before && before.phase !== "idle") page.byHand = false;
      if (event.phase === "idle") Object.assign(page, { proposal: null, draft: null });
      if (event.phase === "fault") announce("The device does not answer.");
    },
    said(event) {
      if (event.step !== page.said.step || event.attempt !== page.said.attempt) page.said = { step: event.step, attempt: event.attempt };
      page.said[event.part] = event;
      if (page.proposal && (page.proposal.step !== event.step || page.proposal.attempt !== event.attempt)) page.proposal = null;
    },
    proposal(event) {
      page.proposal = event;
      page.draft = null;
      if (event.needs === "nothing") return;
      page.shown = null;
      if (matchMedia("(max-width: 820px)").matches) picture.scrollIntoView({ block: "start" }); // the question lies over the lower part
      announce(`Step ${event.step + 1}: ${event.label}. ${event.reason || "Approve, edit or reject."}`);
    },
    resolved(event) {
      if (!page.proposal || page.proposal.proposal !== event.proposal) return;
      page.proposal = { ...page.proposal, needs: "nothing", how: event.how };
      if (event.how === "forbidden") handlers.notice({ level: "warning", text: `Not performed: ${page.proposal.label}. ${page.proposal.reason}` });
      page.draft = null;
      $("reject-hint").value = $("edit-why").value = "";
    },
    step(event) {
      page.steps.length = Math.min(page.steps.length, event.index);
      page.steps[event.index] = event;
      page.proposal = null;
      announce(`Step ${event.index + 1} done: ${event.label}${event.error ? `. ${event.error}` : ""}`);
    },
    undone(event) {
      page.steps.length = Math.min(page.steps.length, event.steps);
      Object.assign(page, { shown: null, proposal: null, said: {}, draft: null });
      announce(`${counted(event.undone, "step")} undone`);
    },
    budget(event) { page.budget = event; },
    episode(event) {
      const at = page.episodes.findIndex((episode) => episode.episode_id === event.episode_id);
      if (at < 0) {
        page.episodes.push(event);
        if (running()) announce(`Ended: ${event.reason || spoken(event.stop)}`);
      } else page.episodes[at] = event;
    },
    notice(event) {
      page.notices = [...page.notices.filter((notice) => notice.text !== event.text), event].slice(-4);
      if (event.level !== "info") announce(event.text);
    },
    exported(event) { page.exports = [event, ...page.exports].slice(0, 3); },
    done(event) { link.asked.delete(event.id); calm("command"); },
    error(event) {
      const type = link.asked.get(event.id) || "message";
      link.asked.delete(event.id);
      if (type !== "claim") alarm("command", `${spoken(type)}: ${event.text}`);
    },
  };

  function receive(event) {
    const handler = handlers[event.type];
    if (handler) { handler(event); render(); }
  }

  // What must be read at once stands on top, one line for each kind; the rest is told to screen readers only.
  function alarm(kind, text) {
    calm(kind);
    $("alerts").append(h("p", { class: "alert", "data-kind": kind }, h("span", { dir: "auto" }, text), h("button", { type: "button", class: "small", onclick: () => calm(kind) }, "Dismiss")));
  }
  function calm(kind) { for (const line of $("alerts").querySelectorAll(`[data-kind="${kind}"]`)) line.remove(); }
  function announce(text) { $("spoken").textContent = text; }

  // Screens: drawn in the order in which they come, each answered when it is drawn

  let drawing = Promise.resolve();
  const canvas = $("screen"), picture = $("picture");

  function receiveFrame(message) {
    const view = new DataView(message);
    const frame = { number: view.getUint32(4), width: view.getUint32(8), height: view.getUint32(12), captured_s: view.getFloat64(16) };
    const type = ["image/png", "image/jpeg", "image/webp"][view.getUint8(1) - 1];
    const data = new Blob([new Uint8Array(message, 24)], { type });
    drawing = drawing.then(() => createImageBitmap(data)).then(
      (bitmap) => drawFrame({ ...frame, bitmap }),
      () => alarm("picture", `Screen ${frame.number} cannot be shown: the picture is damaged.`),
    ).finally(() => send("seen", { frame: frame.number }));
  }

  function drawFrame(frame) {
    if (page.live) page.live.bitmap.close();
    page.live = frame;
    show($("blank"), false);
    if (page.shown !== null) return;
    paint(frame.bitmap, frame.width, frame.height);
    renderStage();
    // Told to who measures: a task behind the next frame runs when that frame was painted.
    const tell = () => document.dispatchEvent(new CustomEvent("framedrawn", { detail: { number: frame.number, captured_s: frame.captured_s, drawn_s: (performance.timeOrigin + performance.now()) / 1000 } }));
    requestAnimationFrame(() => setTimeout(tell));
  }

  function paint(image, width, height) {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(image, 0, 0, width, height);
    picture.style.setProperty("--ratio", width / height);
    $("rooms").classList.toggle("broad", width > height);
  }

  function look(index) {
    const step = page.steps[index];
    page.shown = step ? index : null;
    page.gesture = page.cross = page.mark = null;
    if (!step) {
      if (page.live) paint(page.live.bitmap, page.live.width, page.live.height);
      render();
      return;
    }
    const image = new Image();
    image.onload = () => { if (page.shown === index) { paint(image, step.width_px, step.height_px); show($("blank"), false); renderStage(); } };
    image.src = step.picture;
    render();
  }

  // What is drawn on a screen: a ring where a finger is put, an arrow along its way

  const arrowOf = (action, size) => {
    if (!action || action.type !== "scroll") return null;
    const from = action.x === undefined ? [size.width / 2, size.height / 2] : [action.x, action.y];
    const [dx, dy] = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] }[action.direction];
    const length = Math.max(size.width, size.height) / 9;
    return [from, [from[0] + dx * length, from[1] + dy * length]];
  };
  const pointsOf = (action) => {
    if (!action || action.x === undefined) return [];
    return action.to_x === undefined ? [[action.x, action.y]] : [[action.x, action.y], [action.to_x, action.to_y]];
  };

  function mark(drawing, action, points, kind, size) {
    const unit = Math.max(size.width, size.height) / 130;
    const [start, end] = arrowOf(action, size) || points;
    if (!start) return;
    for (const halo of [true, false]) {
      const look = { class: `mark ${halo ? "halo" : kind}`, "stroke-width": unit * (halo ? 1.5 : 0.75) };
      if (end) {
        const dx = end[0] - start[0], dy = end[1] - start[1], length = Math.hypot(dx, dy) || 1;
        const ux = dx / length, uy = dy / length, head = unit * 3.4;
        const wing = (side) => `${end[0] - head * ux - side * head * 0.6 * uy} ${end[1] - head * uy + side * head * 0.6 * ux}`;
        drawing.append(s("circle", { ...look, cx: start[0], cy: start[1], r: unit * 1.3 }));
        drawing.append(s("path", { ...look, d: `M${start[0]} ${start[1]} L${end[0]} ${end[1]} M${wing(1)} L${end[0]} ${end[1]} L${wing(-1)}` }));
      } else {
        const pressed = action && action.type === "long_press";
        drawing.append(s("circle", { ...look, cx: start[0], cy: start[1], r: unit * (pressed ? 4.4 : 3.2) }));
        if (action && action.type !== "click") drawing.append(s("circle", { ...look, cx: start[0], cy: start[1], r: unit * 1.9 }));
        if (!halo) drawing.append(s("circle", { class: `dot ${kind}`, cx: start[0], cy: start[1], r: unit * 0.8 }));
      }
    }
  }

  function marksOf(size) {
    const drawing = s("g", {});
    const step = page.shown === null ? null : page.steps[page.shown];
    if (step) mark(drawing, step.executed || step.requested, step.points, step.source === "human" ? "human" : step.executed ? "done" : "wrong", size);
    else if (page.draft) mark(drawing, page.draft, pointsOf(page.draft), "human", size);
    else if (page.proposal) mark(drawing, page.proposal.action, page.proposal.points, page.proposal.needs === "confirmation" || page.proposal.how === "forbidden" ? "wrong" : "proposed", size);
    if (page.gesture) mark(drawing, { type: page.gesture.held ? "long_press" : "click" }, page.gesture.moved ? [page.gesture.start, page.gesture.end] : [page.gesture.start], "human", size);
    if (page.cross && aiming()) {
      const [x, y] = page.cross;
      for (const kind of ["halo", "human"]) drawing.append(s("path", { class: `mark ${kind}`, "stroke-width": Math.max(size.width, size.height) / (kind === "halo" ? 110 : 260), d: `M${x} 0 V${size.height} M0 ${y} H${size.width}` }));
      if (page.mark) mark(drawing, { type: "swipe" }, [page.mark, page.cross], "human", size);
    }
    return drawing;
  }

  function renderStage() {
    const step = page.shown === null ? null : page.steps[page.shown];
    const size = { width: canvas.width, height: canvas.height };
    $("marks").setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    $("marks").replaceChildren(marksOf(size));
    picture.classList.toggle("past", step !== null);
    picture.classList.toggle("hands", aiming() && hands());
    picture.classList.toggle("aiming", aiming() && !hands());
    show($("go-live"), step !== null);
    const proposal = page.proposal;
    const words = step ? `before step ${step.index + 1}: ${step.label}`
      : page.draft ? `instead: ${describe(page.draft)}`
      : proposal ? `${proposal.how ? spoken(proposal.how) : proposal.needs === "nothing" ? "about to" : "proposed"}: ${proposal.label}`
      : page.live ? `live, ${size.width} × ${size.height}${aiming() && hands() ? " · tap, hold or drag on it" : ""}` : "";
    write($("caption"), words);
    picture.setAttribute("aria-label", `screen of the device, ${words}`);
  }

  // Fingers and mice: a tap, a long press or a swipe, in pixels of the screen

  const HOLD_MS = 550, SLACK_PX = 9;
  const place = (event) => {
    const box = picture.getBoundingClientRect(), border = picture.clientLeft;
    const x = ((event.clientX - box.left - border) / picture.clientWidth) * canvas.width;
    const y = ((event.clientY - box.top - border) / picture.clientHeight) * canvas.height;
    return [clamp(Math.floor(x), 0, canvas.width - 1), clamp(Math.floor(y), 0, canvas.height - 1)];
  };

  picture.addEventListener("pointerdown", (event) => {
    if (!aiming() || !page.live || event.button !== 0) return;
    event.preventDefault();
    picture.setPointerCapture(event.pointerId);
    picture.focus({ preventScroll: true });
    const at = place(event);
    page.cross = page.mark = null;
    page.gesture = { start: at, end: at, x: event.clientX, y: event.clientY, began: event.timeStamp, moved: false, held: false, frame: page.live.number };
    page.gesture.timer = setTimeout(() => { if (page.gesture && !page.gesture.moved) { page.gesture.held = true; renderStage(); } }, HOLD_MS);
    renderStage();
  });
  picture.addEventListener("pointermove", (event) => {
    const gesture = page.gesture;
    if (!gesture) return;
    gesture.end = place(event);
    gesture.moved = gesture.moved || Math.hypot(event.clientX - gesture.x, event.clientY - gesture.y) > SLACK_PX;
    renderStage();
  });
  picture.addEventListener("pointerup", (event) => {
    const gesture = page.gesture;
    if (!gesture) return;
    clearTimeout(gesture.timer);
    page.gesture = null;
    const [x, y] = gesture.start, [to_x, to_y] = gesture.end;
    const can = (name) => page.hello.actions.includes(name);
    const way = can("drag") && (gesture.held || !can("swipe")) ? "drag" : "swipe"; // a drag holds first, then moves
    if (gesture.moved) pointed({ type: way, x, y, to_x, to_y }, gesture.frame);
    else if (gesture.held) pointed({ type: "long_press", x, y, duration_s: Math.round(clamp(event.timeStamp - gesture.began, HOLD_MS, 5000) / 100) / 10 }, gesture.frame);
    else pointed({ type: "click", x, y }, gesture.frame);
  });
  picture.addEventListener("pointercancel", () => { if (page.gesture) clearTimeout(page.gesture.timer); page.gesture = null; renderStage(); });
  picture.addEventListener("contextmenu", (event) => { if (aiming()) event.preventDefault(); });

  // What was pointed out is done by hand, or is what should be done instead of a proposal.
  function pointed(action, frame) {
    if (!waits()) {
      if (hands()) order("act", { action, frame });
      renderStage();
      return;
    }
    const kind = page.draft ? page.draft.type : action.type;
    if (action.type === "click" && ["double_click", "long_press"].includes(kind)) action = { ...page.draft, x: action.x, y: action.y };
    if (action.type === "swipe" && kind === "drag") action.type = "drag";
    if (!page.hello.actions.includes(action.type)) return;
    page.draft = action;
    render();
    $("edit-send").focus({ preventScroll: true });
  }

  const CROSS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  picture.addEventListener("keydown", (event) => {
    if (!aiming() || !page.live || event.ctrlKey || event.metaKey || event.altKey) return;
    const size = [canvas.width, canvas.height];
    const at = page.cross || page.proposal?.points[0] || [size[0] >> 1, size[1] >> 1];
    if (CROSS[event.key]) {
      const reach = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(...size) / 40));
      page.cross = at.map((value, axis) => clamp(value + CROSS[event.key][axis] * reach, 0, size[axis] - 1));
      announce(`${page.cross[0]}, ${page.cross[1]}`);
    } else if (event.key === "m" && page.cross) {
      page.mark = page.cross;
      announce("start of the swipe marked");
    } else if ((event.key === "Enter" || event.key === "p") && page.cross) {
      const [x, y] = page.mark || at, [to_x, to_y] = at, frame = page.live.number;
      const action = page.mark ? { type: "swipe", x, y, to_x, to_y } : event.key === "p" ? { type: "long_press", x, y, duration_s: 1 } : { type: "click", x, y };
      page.mark = null;
      pointed(action, frame);
    } else return;
    event.preventDefault();
    event.stopPropagation();
    renderStage();
  });
  picture.addEventListener("blur", () => { page.cross = page.mark = null; renderStage(); });

  // The proposal, and the action that a person writes instead

  const FIELDS = {
    click: ["x", "y"], double_click: ["x", "y"], long_press: ["x", "y", "duration_s"], swipe: ["x", "y", "to_x", "to_y"], drag: ["x", "y", "to_x", "to_y"],
    scroll: ["direction"], type: ["text"], key: ["key"], system_button: ["button"], open: ["name"], wait: ["duration_s"], answer: ["text"], finish: ["status"],
  };
  const CHOICES = { direction: ["up", "down", "left", "right"], button: ["back", "home", "menu", "enter"], status: ["success", "failure"] };
  const describe = (action) => `${spoken(action.type)} ${FIELDS[action.type].map((name) => action[name] ?? "").join(" ")}`.trim();

  function startValue(name) {
    if (CHOICES[name]) return CHOICES[name][0];
    if (name === "duration_s") return 1;
    const axis = { x: "width", to_x: "width", y: "height", to_y: "height" }[name];
    if (!axis) return "";
    return Math.floor((page.live ? page.live[axis] : 2) / 2);
  }

  function draftOf(type, from = {}) {
    const draft = { type };
    for (const name of FIELDS[type]) draft[name] = from[name] ?? startValue(name);
    return draft;
  }

  function beginEdit() {
    if (!waits() || !mine()) return;
    const action = page.proposal.action;
    const type = action && FIELDS[action.type] ? action.type : $("edit-kind").options[0].value;
    page.draft = { ...draftOf(type, action || {}), ...(action && action.type === type ? action : {}) };
    render();
    $("edit-kind").focus();
  }

  function endEdit() {
    page.draft = null;
    render();
    if (waits()) $("approve").focus({ preventScroll: true });
  }

  const numeric = (name) => name === "duration_s" || /^(to_)?[xy]$/.test(name);
  function inputFor(name) {
    const change = (event) => { page.draft = { ...page.draft, [name]: numeric(name) ? Number(event.target.value) : event.target.value }; renderProposal(); renderStage(); };
    const value = page.draft[name];
    if (CHOICES[name]) return h("select", { "data-name": name, onchange: change }, CHOICES[name].map((choice) => h("option", { value: choice, selected: choice === value }, choice)));
    if (name === "text") return Object.assign(h("textarea", { "data-name": name, rows: 2, dir: "auto", maxlength: 4000, oninput: change }), { value });
    const limits = name === "duration_s" ? { min: 0.1, max: 60, step: 0.1 } : numeric(name) ? { min: 0, max: (name.endsWith("x") ? canvas.width : canvas.height) - 1, step: 1 } : { maxlength: 200 };
    return Object.assign(h("input", { "data-name": name, type: numeric(name) ? "number" : "text", required: true, dir: "auto", oninput: change, ...limits }), { value });
  }

  function renderDraft() {
    const draft = page.draft, box = $("edit-inputs");
    show($("edit-form"), Boolean(draft));
    if (!draft) return;
    $("edit-kind").value = draft.type;
    if (box.dataset.kind !== draft.type || box.dataset.proposal !== String(page.proposal.proposal)) {
      Object.assign(box.dataset, { kind: draft.type, proposal: page.proposal.proposal });
      box.replaceChildren(...FIELDS[draft.type].map((name) => h("label", { class: name === "text" ? "wide" : "" }, h("span", {}, spoken(name).replace("duration s", "seconds")), inputFor(name))));
    }
    for (const input of box.querySelectorAll("[data-name]")) {
      if (input !== document.activeElement && input.value !== String(draft[input.dataset.name])) input.value = draft[input.dataset.name];
    }
  }

  function renderProposal() {
    const proposal = page.proposal, waiting = waits(), box = $("proposal");
    const shown = Boolean(proposal) && (waiting || Boolean(proposal.reason) || Boolean(proposal.error));
    const focused = box.contains(document.activeElement);
    if (!shown) page.draft = null;
    show(box, shown);
    box.classList.toggle("asking", waiting);
    if (shown) {
      box.classList.toggle("held", proposal.needs === "confirmation" || proposal.how === "forbidden");
      write($("why"), proposal.reason);
      show($("why"), Boolean(proposal.reason));
      const deed = proposal.action ? proposal.label : `No action: ${proposal.error || proposal.label}`;
      write($("deed"), page.shown === null ? deed : `Step ${proposal.step + 1} waits: ${deed}`);
      show($("choices"), waiting && mine() && !page.draft);
      show($("approve"), Boolean(proposal.action));
      write($("approve"), proposal.needs === "confirmation" ? "Allow this once" : "Approve");
      renderDraft();
    }
    if (focused && (!shown || !waiting)) $("phase").focus({ preventScroll: true });
  }

  $("approve").addEventListener("click", () => order("approve", { proposal: page.proposal.proposal }));
  $("edit").addEventListener("click", beginEdit);
  $("reject").addEventListener("click", () => order("reject", { proposal: page.proposal.proposal, hint: $("reject-hint").value.trim() }));
  $("reject-hint").addEventListener("keydown", (event) => { if (event.key === "Enter") $("reject").click(); });
  $("edit-cancel").addEventListener("click", endEdit);
  $("edit-kind").addEventListener("change", () => { page.draft = draftOf($("edit-kind").value, page.draft); render(); });
  $("edit-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (page.draft) order("edit", { proposal: page.proposal.proposal, action: page.draft, thought: $("edit-why").value.trim() });
  });

  // Words: what goes on now, or what was said at the step that is looked at

  const PHASES = { idle: "Ready", starting: "Preparing the device", thinking: "Thinking", waiting: "Waiting for you", paused: "Paused", acting: "Acting", stopping: "Stopping", fault: "The device does not answer" };
  const TIMES = [["observe", "look"], ["plan", "plan"], ["act", "think"], ["preview", "preview"], ["person", "review"], ["execute", "act"]];

  function block(name, text, streaming, title = name) {
    show($(`${name}-block`), Boolean(text));
    write($(`${name}-block`).firstChild, title);
    write($(name), text || "");
    $(name).classList.toggle("streaming", Boolean(streaming));
  }

  const titleOf = (step) => (step.source === "human" ? "what the agent had thought" : "thought");
  function renderNow() {
    const past = page.shown === null ? null : page.steps[page.shown];
    const last = page.steps[page.steps.length - 1];
    const words = running() && page.state.takeover ? "You act" : PHASES[phase()];
    write($("phase"), past ? `Step ${past.index + 1}` : !link.open ? (link.tries ? "Connection lost" : "Connecting") : running() ? words : page.byHand ? "You act, nothing is recorded" : page.steps.length ? "Ended" : words);
    const said = page.said, proposal = page.proposal;
    if (past) {
      block("subgoal", past.subgoal);
      block("thought", past.thought, false, titleOf(past));
      block("action", [past.label, past.source === "human" && "by hand", past.error, ...past.rejected.map((label) => `rejected: ${label}`)].filter(Boolean).join("\n"));
    } else {
      const fresh = proposal || (said.step !== undefined && (!last || said.step > last.index)) || !last;
      block("subgoal", fresh ? proposal?.subgoal || said.subgoal?.text : last.subgoal, phase() === "thinking" && !said.thought && !proposal);
      block("thought", fresh ? proposal?.thought || said.thought?.text : last.thought, phase() === "thinking" && !said.action && !proposal, fresh || !last ? "thought" : titleOf(last));
      block("action", fresh ? (proposal ? (shownInCard() ? "" : proposal.label) : said.action?.text) : [last.label, last.error].filter(Boolean).join("\n"));
    }
    show($("ready"), !past && !running() && !page.steps.length);
    renderTimes(past || last);
    renderEnd();
    const notices = past ? [] : page.notices;
    $("notices").replaceChildren(...notices.map((notice) => h("p", { class: `notice ${notice.level === "error" ? "bad" : notice.level}`, dir: "auto" }, notice.text)));
    show($("hint-form"), Boolean(page.hello) && !past && running() && (page.hello.can_hint || page.hello.can_undo));
  }
  const shownInCard = () => !$("proposal").hidden;

  function renderTimes(step) {
    show($("times"), Boolean(step));
    if (!step) return;
    const parts = TIMES.map(([name, label], index) => ({ label, index, seconds: step.seconds[name] })).filter((part) => part.seconds > 0);
    const total = parts.reduce((sum, part) => sum + part.seconds, 0);
    $("times").replaceChildren(
      h("h3", {}, `time of step ${step.index + 1} `, h("b", {}, duration(total))),
      h("div", { class: "split", "aria-hidden": "true" }, parts.map((part) => h("i", { class: `part-${part.index}`, style: `flex:${part.seconds / total}` }))),
      h("p", { class: "legend" }, parts.map((part) => h("span", {}, h("i", { class: `dot part-${part.index}` }), `${part.label} ${duration(part.seconds)}`))));
  }

  const tick = () => {
    const state = page.state, budget = page.budget;
    const parts = [];
    if (running() && budget) parts.push(`step ${state.step + 1} of ${budget.max_steps}`);
    if (["thinking", "acting", "starting"].includes(phase())) parts.push(duration(Math.max(0, performance.now() - page.since) / 1000));
    write($("count"), parts.join(" · "));
  };
  setInterval(tick, 250);

  const THUMB = "M2.5 9h3v8.5h-3z M7.5 17.5V9.2L10 2.6c1.6-.3 2.7.7 2.7 2.2v2.9h3.5c1.2 0 2 1.1 1.7 2.2l-1.5 5.9c-.2.9-1 1.7-2 1.7z";
  function thumbs(episode) {
    const sign = (turn) => { const icon = s("svg", { viewBox: "0 0 20 20", width: 18, height: 18, "aria-hidden": "true" }); icon.append(s("path", { d: THUMB, fill: "currentColor", transform: `rotate(${turn} 10 10)` })); return icon; };
    const thumb = (verdict, turn, name) => h("button", { type: "button", class: "thumb-button", "aria-label": name, title: name, "aria-pressed": String(episode.verdict === verdict), disabled: !mine(), "data-verdict": verdict,
      onclick: () => order("outcome", { episode_id: episode.episode_id, verdict: episode.verdict === verdict ? "unscored" : verdict }) }, sign(turn));
    return [thumb("success", 0, "it was done"), thumb("failure", 180, "it was not done")];
  }

  const viewerLink = (episode, style) => episode.stored && h("a", { class: style, href: `/episode/0/${encodeURIComponent(episode.episode_id)}`, target: "_blank", rel: "noopener" }, "Open in viewer");

  const verdictKind = { success: "good", failure: "bad", unscored: "quiet" };
  const same = (node, key) => { const found = node.dataset.key === key; node.dataset.key = key; return found; };

  function renderEnd() {
    const episode = page.shown === null && !running() ? page.episodes[page.episodes.length - 1] : null;
    show($("end"), Boolean(episode));
    if (!episode || same($("end"), JSON.stringify([episode, mine()]))) return;
    $("end").replaceChildren(
      h("p", {}, h("b", {}, episode.reason || spoken(episode.stop)), " ", h("span", { class: `badge ${verdictKind[episode.verdict]}` }, spoken(episode.verdict))),
      episode.answer ? h("p", { dir: "auto" }, h("b", {}, "Answer: "), episode.answer) : "",
      h("p", { class: "facts" }, [counted(episode.steps, "step"), episode.human_steps && `${episode.human_steps} by hand`, duration(episode.wall_s), episode.detail, episode.stored ? "" : "not stored"].filter(Boolean).join(" · ")),
      h("p", { class: "choices" }, h("span", {}, "Was it done?"), thumbs(episode), h("button", { type: "button", disabled: !mine(), onclick: () => order("export", { episodes: [episode.episode_id] }) }, "Export"), viewerLink(episode, "button")));
  }

  function renderEpisodes() {
    show($("episodes"), page.episodes.length > 0);
    write($("episodes-words"), `${counted(page.episodes.length, "episode")} of this session`);
    if (!same($("episode-list"), JSON.stringify([page.episodes, mine()]))) {
      $("episode-list").replaceChildren(...page.episodes.map((episode) => h("li", {},
        h("span", { class: "what", dir: "auto" }, episode.goal), h("span", { class: `badge ${verdictKind[episode.verdict]}` }, spoken(episode.verdict)),
        h("small", {}, `${spoken(episode.stop)}, ${counted(episode.steps, "step")}`), h("span", { class: "choices" }, thumbs(episode), viewerLink(episode)))));
    }
    $("export-all").disabled = !mine();
    // A path of another host would begin with two slashes.
    $("exports").replaceChildren(...page.exports.filter((found) => /^\/[^/\\]/.test(found.path)).map((found) =>
      h("a", { href: found.path, download: found.name }, `${found.name} (${counted(found.num_episodes, "episode")}, ${Math.ceil(found.num_bytes / 1024)} KiB)`)));
    if (page.exports.length && !same($("exports"), page.exports[0].path)) $("episodes").open = true;
  }

  function renderBudgets() {
    const budget = page.budget, box = $("budgets");
    if (!budget || same(box, JSON.stringify(budget))) return;
    const line = (label, used, limit, words) => limit > 0 && h("span", { class: used >= 0.8 * limit ? "budget near" : "budget" }, h("progress", { max: limit, value: Math.min(used, limit), "aria-label": label }), words);
    const tokens = budget.prompt_tokens + budget.completion_tokens;
    box.replaceChildren(...[
      line("steps used", budget.steps, budget.max_steps, `${budget.steps} of ${budget.max_steps} steps`),
      line("time used", budget.agent_s, budget.time_limit_s, `${Math.round(budget.agent_s)} of ${Math.round(budget.time_limit_s)} s`),
      line("cost so far", budget.cost || 0, budget.max_cost, `${(budget.cost || 0).toFixed(2)} of ${budget.max_cost.toFixed(2)}`),
      budget.max_cost === 0 && budget.cost !== null && h("span", {}, `cost ${budget.cost.toFixed(4)}`),
      tokens > 0 && h("span", { title: `${budget.prompt_tokens} read, ${budget.completion_tokens} written, ${budget.requests} requests` }, `${tokens.toLocaleString("en")} tokens`),
    ].filter(Boolean));
  }

  // Steps: a thumbnail for each, with what was done drawn on it

  function thumbnail(step) {
    const size = { width: step.width_px, height: step.height_px };
    const marks = s("svg", { viewBox: `0 0 ${size.width} ${size.height}`, class: "overlay", "aria-hidden": "true" });
    mark(marks, step.executed || step.requested, step.points, step.source === "human" ? "human" : step.executed ? "done" : "wrong", { width: size.width * 2.2, height: size.height * 2.2 });
    const box = h("span", { class: "screen", style: `--ratio:${size.width / size.height}` }, h("img", { src: `${step.picture}?small`, alt: "", loading: "lazy", draggable: "false" }), marks);
    return h("button", { type: "button", class: "past-step", onclick: () => look(step.index) }, box,
      h("span", { class: `count ${step.error ? "bad" : step.source === "human" ? "patch" : ""}` }, String(step.index + 1)),
      h("span", { class: "did", dir: "auto" }, step.label), h("small", {}, step.source === "human" ? "by hand" : step.error ? "not done" : ""));
  }

  function renderSteps() {
    const list = $("steps");
    while (list.children.length > page.steps.length) list.lastChild.remove();
    page.steps.forEach((step, index) => {
      const item = list.children[index];
      if (item && item.step === step) return;
      const node = Object.assign(h("li", {}, thumbnail(step)), { step });
      if (item) item.replaceWith(node);
      else { list.append(node); list.scrollLeft = list.scrollWidth; }
    });
    [...list.children].forEach((item, index) => {
      if (index === page.shown) item.firstChild.setAttribute("aria-current", "step");
      else item.firstChild.removeAttribute("aria-current");
    });
    show($("no-steps"), !page.steps.length);
    const byHand = page.steps.filter((step) => step.source === "human").length;
    write($("history-words"), page.steps.length ? [`${page.steps.length} so far`, byHand && `${byHand} by hand`].filter(Boolean).join(", ") : "");
  }

  // Controls

  function renderControls() {
    const now = phase(), own = mine(), live = running();
    const status = !link.open ? ["bad", link.tries ? "reconnecting …" : "connecting"] : own ? ["good", page.control.watchers ? `you control · ${page.control.watchers} watching` : "you control"]
      : page.control.controller === null ? ["warn", "nobody controls"] : ["warn", "watching"];
    $("link").className = `badge ${status[0]}`;
    write($("link"), status[1]);
    show($("take-control"), link.open && !page.control.you);
    const hello = page.hello;
    write($("where"), hello ? `${hello.device} · ${hello.agent}` : "");
    document.title = hello ? `${running() ? `${PHASES[now]} · ` : ""}gui-agent demo · ${hello.device}` : "gui-agent demo";
    $("goal").readOnly = live || !own;
    $("goal").placeholder = hello && hello.task ? `empty: the task ${hello.task}` : "for instance: turn on wifi";
    $("goal").required = !(hello && hello.task);
    show($("examples"), Boolean(hello) && hello.examples.length > 0 && !live && own);
    $("run").disabled = !own || live;
    $("pause").disabled = !own || !live || now === "stopping" || now === "fault";
    write($("pause"), live && page.state.paused ? "Resume" : "Pause");
    $("step").disabled = !own || now === "stopping" || now === "fault";
    $("stop").disabled = !own || !live;
    $("approve-each").disabled = !own;
    $("approve-each").checked = Boolean(page.state && page.state.mode === "approve");
    $("fresh").disabled = !own;
    show($("fresh-label"), !live);
    $("take-over").disabled = !own || now === "stopping";
    write($("take-over"), now === "fault" ? "Reconnect the device" : hands() ? "Hand back" : "Act by hand");
    $("take-over").setAttribute("aria-pressed", String(hands()));
    show($("hand-tools"), own && hands());
    $("hand-done").disabled = !live || !hello || !hello.actions.includes("finish");
    $("hint").disabled = $("hint-send").disabled = !own || !hello || !hello.can_hint;
    $("undo").disabled = !own || !page.state || page.state.undo_steps < 1;
  }

  function render() {
    renderControls();
    renderProposal();
    renderNow();
    renderBudgets();
    renderSteps();
    renderEpisodes();
    renderStage();
    tick();
  }

  function begin() {
    const goal = $("goal").value.trim();
    const task = goal ? page.told && page.told.goal === goal && page.told.task : page.hello.task;
    order("run", { ...(task ? { task } : { goal }), takeover: page.byHand, fresh: $("fresh").checked });
  }
  $("goal-form").addEventListener("submit", (event) => { event.preventDefault(); if (!running()) begin(); });
  $("goal").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("goal-form").requestSubmit(); }
  });
  $("pause").addEventListener("click", () => order(page.state.paused ? "resume" : "pause"));
  $("step").addEventListener("click", () => {
    if (!running() && !$("goal-form").reportValidity()) return;
    if (!running()) begin();
    order("step");
  });
  $("stop").addEventListener("click", () => order("stop"));
  $("approve-each").addEventListener("change", (event) => order("mode", { mode: event.target.checked ? "approve" : "auto" }));
  $("take-control").addEventListener("click", () => send("claim", { force: page.control.controller !== null }));
  $("take-over").addEventListener("click", () => {
    if (phase() === "fault") order("reconnect");
    else if (running()) order("takeover", { on: !page.state.takeover });
    else { page.byHand = !page.byHand; render(); }
  });
  const press = (button) => () => order("act", { action: { type: "system_button", button } });
  $("hand-back").addEventListener("click", press("back"));
  $("hand-home").addEventListener("click", press("home"));
  $("hand-enter").addEventListener("click", press("enter"));
  $("hand-done").addEventListener("click", () => order("act", { action: { type: "finish", status: "success" } }));
  $("hand-secret").addEventListener("change", (event) => { $("hand-text").type = event.target.checked ? "password" : "text"; });
  $("hand-type").addEventListener("submit", (event) => {
    event.preventDefault();
    if ($("hand-text").value) order("act", { action: { type: "type", text: $("hand-text").value }, secret: $("hand-secret").checked });
    $("hand-text").value = "";
  });
  $("hint-form").addEventListener("submit", (event) => { event.preventDefault(); order("hint", { text: $("hint").value.trim() }); });
  $("undo").addEventListener("click", () => order("undo", { steps: 1 }));
  $("export-all").addEventListener("click", () => order("export"));
  $("go-live").addEventListener("click", () => look(null));
  $("keys-button").addEventListener("click", () => $("keys").showModal());

  // Keys. Escape stops from anywhere, also while something is written.

  const rate = (verdict) => { const button = $("end").querySelector(`[data-verdict=${verdict}]`); if (button && !$("end").hidden) button.click(); };
  const click = (id) => () => { const node = $(id); if (!node.disabled && node.offsetParent !== null) node.click(); };
  const LETTERS = {
    a: click("approve"), e: click("edit"), r: click("reject"), s: click("step"), t: click("take-over"), z: click("undo"), l: () => look(null), " ": click("pause"),
    g: () => $("goal").focus(), n: () => $("hint").focus(), c: () => picture.focus(), "+": () => rate("success"), "-": () => rate("failure"), "?": () => $("keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if ($("keys").open || event.isComposing) return;
    if (event.key === "Escape") {
      if (running()) order("stop");
      else if (page.draft) endEdit();
      else if (page.shown !== null) look(null);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const from = page.shown === null ? page.steps.length : page.shown;
      const to = from + (event.key === "ArrowLeft" ? -1 : 1);
      if (to >= 0) look(to < page.steps.length ? to : null);
      return;
    }
    if (!$("letters").checked || !LETTERS[event.key] || (event.key === " " && event.target.closest("button, a, summary, input"))) return;
    event.preventDefault();
    LETTERS[event.key]();
  });

  window.addEventListener("online", () => { if (!link.open) connect(); });
  connect();
  render();
})();
