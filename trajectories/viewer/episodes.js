// Draws episodes from JSON. Text enters the page as text nodes only; nothing here parses markup.
// data.view says what the page is: "list" (the default: one file with everything in it), or, from a server,
// "episode", "group" (the timelines of siblings beside each other) or "compare" (two whole episodes).
"use strict";
(() => {
  const root = document.getElementById("episodes");
  if (!root) return;
  const data = JSON.parse(document.getElementById("episode-data").textContent);
  const state = { episodes: data.episodes, at: 0, step: 0, overlay: true, view: null, only: null };

  const served = Boolean(data.view);
  const imageOf = (step, thin) => {
    const source = (step && step.image && data.images[step.image]) || null;
    return source && thin && served ? `${source}?side=256` : source;
  };

  // What is drawn on a screenshot

  // What was executed, or the samples that were compared; the choice stays from step to step.
  const viewOf = (step) => {
    const offered = candidates.views(step).map(([view]) => view);
    if (state.view === "executed") return "executed";
    return offered.includes(state.view) ? state.view : candidates.preferred(step);
  };

  function overlay(step, thin) {
    const width = step.width || 100, height = step.height || 100;
    const unit = Math.max(width, height) / (thin ? 60 : 130);
    const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "overlay", "aria-hidden": "true" });
    const draw = (action, kind) => { if (action) mark(drawing, action, kind, width, height, unit); };
    const view = thin ? "executed" : viewOf(step);
    const expected = step.expected;
    for (const [left, top, right, bottom] of thin || !expected ? [] : expected.boxes) {
      const place = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top), rx: unit * 0.6 };
      drawing.append(s("rect", { ...place, class: "mark halo", "stroke-width": unit * 1.1 }));
      drawing.append(s("rect", { ...place, class: "mark expert dashed", "stroke-width": unit * 0.6, "stroke-dasharray": `${unit * 2} ${unit * 1.3}` }));
    }
    if (view !== "executed") {
      candidates.draw(drawing, step, view, state.only, width, height);
      return drawing;
    }
    if (expected && step.match && !step.match.exact) draw(expected, "expert");
    if (step.requested && !step.same) draw(step.requested, "wrong");
    if (step.source === "human") draw(step.executed, "human");
    else if (step.same || !step.requested) draw(step.executed || step.requested, "done");
    return drawing;
  }

  function screen(step, thin) {
    const source = imageOf(step, thin);
    const ratio = step.width ? `--ratio:${Number(step.width) / Number(step.height)};aspect-ratio:${Number(step.width)}/${Number(step.height)}` : null;
    if (!source) {
      const blank = h("div", { class: "screen blank", style: ratio || "--ratio:0.5625;aspect-ratio:9/16" }, thin ? "" : h("span", {}, "no screenshot"));
      if (state.overlay && step.width) blank.append(overlay(step, thin));
      return blank;
    }
    const picture = h("img", { src: source, alt: thin ? "" : `screen at step ${step.index + 1}`, loading: "lazy", draggable: "false" });
    const box = h("div", { class: step.width ? "screen" : "screen sizeless", style: ratio }, picture);
    if (state.overlay && step.width) box.append(overlay(step, thin));
    return box;
  }

  // Words

  const verdictKind = { success: "good", failure: "bad", unscored: "quiet" };
  function stepBadges(step) {
    const found = [];
    if (step.source === "patch") found.push(badge("patched", "patch", "the expert's action was executed instead"));
    if (step.source === "human") found.push(badge("human", "human", "a person chose what was executed"));
    if (step.match) {
      const kind = step.match.exact ? "good" : step.match.type ? "warn" : "bad";
      found.push(badge(step.match.exact ? "match" : step.match.type ? "type only" : "mismatch", kind, step.match.reason));
    }
    if (step.requested && step.requested.kind === "parse_error") found.push(badge("no action", "bad", step.requested.label));
    else if (!step.format_ok) found.push(badge("format", "warn", "the response lacks the form its format asks for"));
    if (step.changed === false) found.push(badge("no change", "quiet", "the screen state stayed the same"));
    return found;
  }

  const kindOf = (step) => (step.source === "human" ? "human" : step.source === "patch" ? "expert" : "done");
  const row = (name, ...content) => h("div", { class: "row" }, h("dt", {}, name), h("dd", {}, ...content));
  const block = (title, text, kind) => text ? h("section", { class: `block ${kind || ""}` }, h("h3", {}, title), h("p", { dir: "auto" }, text)) : null;

  function actions(step) {
    const list = h("dl", { class: "actions" });
    if (step.requested && !step.same) list.append(row(step.source === "human" ? "proposed" : "asked", h("span", { class: "key wrong" }), step.requested.label));
    if (step.executed) list.append(row(step.same ? "did" : "instead", h("span", { class: `key ${kindOf(step)}` }), step.executed.label));
    else list.append(row("did", h("em", {}, "nothing was executed")));
    if (step.expected) list.append(row("expert", h("span", { class: "key expert" }), step.expected.label, step.expected.boxes.length ? h("small", {}, ` · ${step.expected.boxes.length} target box${step.expected.boxes.length > 1 ? "es" : ""}`) : null));
    if (step.match && step.match.reason && !(step.error || "").includes(step.match.reason)) list.append(row("match", step.match.reason));
    if (step.error) list.append(row("because", h("span", { class: "bad-text" }, step.error)));
    return list;
  }

  // Whether the groups of the step say what it was worth.
  const compares = (step) => candidates.strip({ steps: [step] }).length > 0;

  function rewards(step) {
    const note = step.note;
    if (!note || note.reward === null) return null;
    const parts = Object.entries(note.parts);
    const widest = Math.max(1e-9, ...parts.map(([, value]) => Math.abs(value || 0)));
    return h("section", { class: "block" }, h("h3", {}, "reward ", h("b", {}, number(note.reward))),
      h("div", { class: "parts" }, parts.map(([name, value]) => h("div", { class: "part" },
        h("span", {}, spoken(name)),
        h("span", { class: "bar" }, h("i", { class: value < 0 ? "minus" : "plus", style: `width:${(100 * Math.abs(value || 0)) / widest}%` })),
        h("span", { class: "number" }, number(value))))));
  }

  function responses(step) {
    return step.completions.map((item) => h("details", { class: "response", open: true },
      h("summary", {}, h("b", {}, spoken(item.role)), " response",
        h("small", {}, ` ${item.tokens} tokens after ${item.prompt_tokens} · mean log p ${number(item.mean_logprob)} · policy v${item.version}${item.finish === "length" ? " · cut at the limit" : ""}`)),
      h("pre", { dir: "auto" }, item.text)));
  }

  function facts(step) {
    const words = [];
    if (step.app) words.push(`app ${step.app}`);
    if (step.progress !== null) words.push(`progress ${Math.round(step.progress * 100)} %`);
    const spent = Object.entries(step.seconds).filter(([, value]) => value > 0);
    if (spent.length) words.push(spent.map(([name, value]) => `${name} ${value < 1 ? Math.round(value * 1000) + " ms" : value.toFixed(1) + " s"}`).join(", "));
    if (step.width) words.push(`${step.width} × ${step.height} px`);
    return h("p", { class: "facts" }, words.join(" · "));
  }

  // The timeline: thumbnails over numbers, one column per step

  // Rows of numbers: names and how to find them in a step.
  function numbers(episode) {
    const compared = candidates.strip(episode);
    if (compared.length) return compared;
    const noted = (pick) => (step) => (step.note ? pick(step.note) : null);
    const has = (pick) => episode.steps.some((step) => ![null, undefined].includes(noted(pick)(step)));
    const keys = (pick) => [...new Set(episode.steps.flatMap((step) => (step.note ? Object.keys(pick(step.note)) : [])))];
    const rows = has((note) => note.reward) ? [["reward", noted((note) => note.reward)]] : [];
    const parts = keys((note) => note.parts);
    for (const name of parts.length > 1 ? parts : []) rows.push([`· ${name}`, noted((note) => note.parts[name])]);
    if (has((note) => note.return)) rows.push(["return", noted((note) => note.return)]);
    for (const name of keys((note) => note.advantages)) rows.push([name === "advantage" ? name : `advantage, ${name}`, noted((note) => note.advantages[name])]);
    return rows;
  }

  function timeline(episode, at, go) {
    const rows = numbers(episode);
    const body = h("tbody");
    body.append(h("tr", {}, rows.length ? h("th", {}, "step") : null, episode.steps.map((step, index) => {
      const problem = step.source === "human" ? "human" : step.source === "patch" ? "patch" : !step.executed || (step.match && !step.match.exact) ? "bad" : "";
      return h("td", {}, h("button", { class: `thumb ${index === at ? "on" : ""} ${step.width > step.height ? "broad" : ""}`, type: "button", "data-focus": `thumb${index}`, "aria-label": `step ${index + 1}`, "aria-current": index === at ? "step" : null, title: (step.executed || step.requested || {}).label || "", onclick: () => go(index) },
        screen(step, true), h("span", { class: `count ${problem}` }, String(index + 1))));
    })));
    for (const [name, pick] of rows) {
      const values = episode.steps.map(pick);
      const largest = Math.max(1e-9, ...values.map((value) => Math.abs(value || 0)));
      body.append(h("tr", { class: "numbers" }, h("th", { scope: "row" }, spoken(name)), values.map((value, index) => {
        const share = Math.round((60 * Math.abs(value || 0)) / largest);
        const tint = value ? `background:color-mix(in srgb, var(${value < 0 ? "--minus" : "--plus"}) ${share}%, transparent)` : null;
        return h("td", { class: index === at ? "on" : "", style: tint }, number(value));
      })));
    }
    return h("div", { class: rows.length ? "timeline" : "timeline bare", tabindex: "0", role: "group", "aria-label": "steps" }, h("table", {}, body));
  }

  // One episode: what it was, its timeline, one step of it

  function header(episode) {
    const words = [episode.suite, spoken(episode.template), episode.policy && `policy ${episode.policy}`, `update ${episode.update}`, `seed ${episode.seed}`, episode.group && `group ${episode.group}`, episode.split, episode.wall_s >= 0.05 && `${episode.wall_s.toFixed(1)} s`, episode.id];
    return h("header", { class: "head" }, h("h2", { dir: "auto" }, episode.goal),
      h("p", { class: "badges" }, badge(episode.verdict, verdictKind[episode.verdict]), badge(spoken(episode.stop), "quiet"),
        episode.progress !== null ? badge(`progress ${Math.round(episode.progress * 100)} %`, "quiet") : null,
        episode.patches ? badge(`${episode.patches} patched`, "patch") : null,
        episode.human ? badge(`${episode.human} by a person`, "human") : null),
      episode.fault ? h("p", { class: "bad-text" }, episode.fault) : episode.detail ? h("p", { class: "facts" }, episode.detail) : null,
      h("p", { class: "facts" }, words.filter(Boolean).join(" · ")),
      episode.source ? h("details", { class: "response" }, h("summary", {}, "where it comes from"), h("pre", { dir: "auto" }, episode.source)) : null);
  }

  const after = (episode) => (episode.final && data.images[episode.final] ? 1 : 0);
  const within = (episode, index) => Math.max(0, Math.min(index, episode.steps.length - 1 + after(episode)));

  // What of the step is drawn on the screenshot.
  function look(view, only = null) {
    state.view = view;
    state.only = only;
    draw();
  }

  function switches(step, view) {
    const offered = candidates.views(step);
    if (!offered.length || !state.overlay) return null;
    return h("div", { class: "switches", role: "group", "aria-label": "drawn on the screenshot" }, [["executed", "executed"], ...offered].map(([name, label]) =>
      h("button", { type: "button", "data-focus": `view-${name}`, "aria-pressed": String(name === view), title: "next (c)", onclick: () => look(name) }, label)));
  }

  function lookNext(step) {
    const names = step ? ["executed", ...candidates.views(step).map(([name]) => name)] : ["executed"];
    look(names[(names.indexOf(viewOf(step)) + 1) % names.length]);
  }

  function panel(episode, at, go) {
    const step = episode.steps[at];
    const total = episode.steps.length;
    const move = (label, by, key) => h("button", { type: "button", class: "move", "data-focus": label, "aria-label": label, title: `${label} (${key})`, onclick: () => go(at + by) }, by < 0 ? "←" : "→");
    if (step) {
      const pictured = screen(step, false);
      const acted = step.executed || step.requested;
      const caption = step.requested && !step.same ? step.requested : acted;
      const view = viewOf(step);
      const shot = h("figure", { class: step.width > step.height ? "shot wide" : "shot" }, switches(step, view), pictured,
        h("figcaption", {}, step.subgoal ? h("q", { class: "asked", dir: "auto", title: "subgoal: what the planner asked for" }, step.subgoal) : null,
          view === "executed" && caption ? h("span", { class: `key ${step.same ? (step.source === "human" ? "human" : "done") : "wrong"}` }) : null, caption ? caption.label : "no action"),
        state.overlay && view !== "executed" ? candidates.legend(step, view, state.only) : null);
      return h("div", { class: step.width > step.height ? "step stacked" : "step" }, shot, h("div", { class: "words" },
        h("div", { class: "stephead" }, move("previous step", -1, "←"), h("b", {}, `step ${at + 1} of ${total}`), move("next step", 1, "→"), h("span", { class: "badges" }, stepBadges(step))),
        actions(step), block("subgoal", step.subgoal, "subgoal"),
        step.expected && step.expected.subgoal && step.expected.subgoal !== step.subgoal ? block("expert’s subgoal", step.expected.subgoal, "subgoal") : null,
        block("thought", step.thought),
        step.expected && step.expected.thought && step.expected.thought !== step.thought ? block("expert’s thought", step.expected.thought) : null,
        candidates.panel(step, { view, only: state.only }, look), compares(step) ? null : rewards(step), responses(step),
        step.raw_action ? h("details", { class: "response" }, h("summary", {}, "action in the source’s words"), h("pre", {}, step.raw_action)) : null, facts(step)));
    }
    if (total && after(episode)) {
      return h("div", { class: "step" }, h("figure", { class: "shot" }, screen({ image: episode.final, width: episode.steps[total - 1].width, height: episode.steps[total - 1].height, index: total, points: [] }, false)),
        h("div", { class: "words" }, h("div", { class: "stephead" }, move("previous step", -1, "←"), h("b", {}, "after the last step"))));
    }
    return h("p", { class: "empty" }, "this episode has no steps");
  }

  // Puts a timeline in the place of an old one and keeps the step that is shown in sight.
  function settle(still, scrolled) {
    still.scrollLeft = scrolled;
    const on = still.querySelector(".thumb.on");
    if (!on) return;
    const left = on.offsetLeft, right = left + on.offsetWidth;
    if (left < still.scrollLeft + 80) still.scrollLeft = left - 80;
    else if (right > still.scrollLeft + still.clientWidth) still.scrollLeft = right - still.clientWidth + 8;
  }

  function fill(box, episode, at, go, ...extra) {
    const strip = box.querySelector(".timeline");
    const scrolled = strip ? strip.scrollLeft : 0;
    const still = timeline(episode, at, go);
    keepFocus(box, () => box.replaceChildren(...extra, header(episode), still, panel(episode, at, go)));
    settle(still, scrolled);
  }

  const keys = (moves) => document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!moves[event.key] || (event.key === "Enter" && event.target.closest("a, button, summary"))) return;
    event.preventDefault();
    moves[event.key]();
  });
  // Tells a screen reader which step is shown now; the page says the same in full.
  const voice = h("p", { class: "unseen", "aria-live": "polite" });
  const announce = (episode, at) => {
    const step = episode && episode.steps[at];
    const did = step ? (step.executed || step.requested || { label: "no action" }).label : "after the last step";
    voice.textContent = step ? `step ${at + 1} of ${episode.steps.length}: ${did}` : did;
  };
  const toggle = h("label", { class: "toggle" }, h("input", { type: "checkbox", checked: true, onchange: (event) => { state.overlay = event.target.checked; draw(); } }), " draw actions");
  let draw;

  // Pages of a server: every step has an address

  const longest = Math.max(0, ...data.episodes.map((episode) => episode.steps.length - 1 + after(episode)));
  const lanes = data.episodes.map((episode) => h("section", { class: "main lane", "aria-label": episode.goal }));

  function goTo(index) {
    state.step = Math.max(0, Math.min(index, longest));
    state.only = null;
    const place = new URL(location.href);
    place.searchParams.set("step", state.step + 1);
    history.replaceState(null, "", place);
    draw();
    announce(data.episodes[state.at], state.step);
  }

  function follow(name) {
    const link = document.querySelector(`a[rel="${name}"]`);
    if (link) link.click();
  }

  function drawLanes() {
    data.episodes.forEach((episode, index) => {
      const lane = lanes[index];
      const at = within(episode, state.step);
      if (data.view !== "group") {
        fill(lane, episode, at, goTo);
        return;
      }
      lane.classList.toggle("chosen", index === state.at);
      const still = timeline(episode, state.step, (step) => { state.at = index; goTo(step); });
      lane.replaceChildren(h("header", { class: "head" }, h("p", { class: "badges" }, h("a", { href: `${episode.href}?step=${at + 1}` }, episode.id),
        badge(episode.verdict, verdictKind[episode.verdict]), badge(spoken(episode.stop), "quiet"), episode.total === null ? null : badge(`reward ${number(episode.total)}`, "quiet"),
        episode.patches ? badge(`${episode.patches} patched`, "patch") : null, episode.human ? badge(`${episode.human} by a person`, "human") : null)), still);
      settle(still, 0);
    });
  }

  function serve() {
    draw = drawLanes;
    const another = (by) => { state.at = Math.max(0, Math.min(state.at + by, lanes.length - 1)); draw(); lanes[state.at].scrollIntoView({ block: "nearest" }); };
    const grouped = data.view === "group";
    root.append(voice, h("div", { class: "filters" }, toggle), h("div", { class: `lanes ${data.view}` }, lanes));
    keys({ ArrowLeft: () => goTo(state.step - 1), ArrowRight: () => goTo(state.step + 1), Home: () => goTo(0), End: () => goTo(longest),
      j: () => (grouped ? another(1) : follow("next")), k: () => (grouped ? another(-1) : follow("prev")), u: () => follow("up"), o: () => toggle.firstChild.click(), c: () => lookNext(data.episodes[0].steps[state.step]),
      Enter: () => { const link = grouped && lanes[state.at].querySelector("a"); if (link) link.click(); } });
    state.step = Math.max(0, Math.min(Number(new URLSearchParams(location.search).get("step") || 1) - 1 || 0, longest));
    draw();
  }
  if (served) { serve(); return; }

  // The page of one file: a list, and the episode that is chosen

  const list = h("ol", { class: "list" });
  const main = h("div", { class: "main" });
  const filters = {};
  const choose = (name, label) => {
    const values = [...new Set(data.episodes.map((episode) => episode[name]))].sort();
    const select = h("select", { "aria-label": label, onchange: filter }, h("option", { value: "" }, `${label}: all`),
      values.map((value) => h("option", { value }, `${spoken(value)} (${data.episodes.filter((episode) => episode[name] === value).length})`)));
    filters[name] = select;
    return values.length > 1 ? select : null;
  };
  const search = h("input", { type: "search", placeholder: "search goals", "aria-label": "search goals", oninput: filter });
  const pick = h("select", { class: "pick", "aria-label": "episode", onchange: () => open(Number(pick.value)) });
  const tally = h("span", { class: "tally" });
  const bar = h("div", { class: "filters" }, choose("template", "task"), choose("verdict", "outcome"), choose("stop", "end"), choose("policy", "policy"), choose("acted", "acted"),
    data.episodes.length > 8 ? search : null, toggle, tally);
  root.append(voice, bar, h("div", { class: "columns" }, h("nav", { class: "side", "aria-label": "episodes" }, pick, list), main));

  function filter() {
    const words = search.value.toLowerCase();
    state.episodes = data.episodes.filter((episode) =>
      Object.entries(filters).every(([name, select]) => !select.value || episode[name] === select.value) &&
      (!words || `${episode.goal} ${episode.id}`.toLowerCase().includes(words)));
    open(0);
  }

  function open(index) {
    state.at = Math.max(0, Math.min(index, state.episodes.length - 1));
    state.step = 0;
    state.only = null;
    draw();
  }

  function go(index) {
    const episode = state.episodes[state.at];
    if (!episode) return;
    state.step = within(episode, index);
    state.only = null;
    draw();
    announce(episode, state.step);
  }

  function drawList() {
    const successes = state.episodes.filter((episode) => episode.verdict === "success").length;
    const scored = state.episodes.filter((episode) => episode.verdict !== "unscored").length;
    tally.replaceChildren(`${state.episodes.length} of ${data.episodes.length} episodes`, scored ? ` · ${successes} of ${scored} scored succeed` : "");
    list.replaceChildren(...state.episodes.map((episode, index) => h("li", {}, h("button", { type: "button", class: index === state.at ? "on" : "", "aria-current": index === state.at ? "true" : null, onclick: () => open(index) },
      h("i", { class: `light ${verdictKind[episode.verdict]}`, title: episode.verdict }), h("span", { class: "goal", dir: "auto" }, episode.goal),
      h("small", {}, `${spoken(episode.template)} · ${episode.steps.length} step${episode.steps.length === 1 ? "" : "s"}${episode.patches ? ` · ${episode.patches} patched` : ""}${episode.human ? ` · ${episode.human} by a person` : ""}`)))));
    pick.replaceChildren(...state.episodes.map((episode, index) => h("option", { value: index, selected: index === state.at }, `${{ success: "✓", failure: "✗", unscored: "?" }[episode.verdict]} ${episode.goal}`)));
    const current = list.children[state.at];
    if (current) list.scrollTop = Math.max(0, current.offsetTop - list.offsetTop - list.clientHeight / 2);
  }

  draw = () => {
    drawList();
    const episode = state.episodes[state.at];
    if (episode) fill(main, episode, state.step, go);
    else main.replaceChildren(h("p", { class: "empty" }, "no episode fits these filters"));
  };

  keys({ ArrowLeft: () => go(state.step - 1), ArrowRight: () => go(state.step + 1), Home: () => go(0), End: () => go(1e9),
    j: () => open(state.at + 1), k: () => open(state.at - 1), o: () => toggle.firstChild.click(),
    c: () => { const episode = state.episodes[state.at]; if (episode) lookNext(episode.steps[state.step]); } });
  const start = new URLSearchParams(location.hash.slice(1));
  open(Number(start.get("episode") || 0));
  if (start.has("step")) go(Number(start.get("step")));
})();
