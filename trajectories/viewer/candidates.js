// Samples that were compared at one state: the planner's subgoals with their probes, the actor's actions. They
// are drawn on the screenshot under letters and numbers, and listed with what they were worth.
"use strict";
const candidates = (() => {
  const COLOURS = 6;
  const groups = (step) => (step.candidates && step.candidates.planner ? step.candidates : null);
  const nameOf = (view, index) => (view === "probes" ? "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index] || "·" : String(index + 1));
  const sign = (view, index, executed) => h("i", { class: `sign c${index % COLOURS} ${view} ${executed ? "executed" : ""}`, "aria-hidden": "true" }, nameOf(view, index));
  const counted = (row) => (row.count > 1 ? h("small", { class: "times" }, ` ×${row.count}`) : null);
  // What a person said to a proposal.
  const refusals = { rejected: "a person did not want it", undone: "it was performed, and a person took it back" };
  const refusal = (row) => Object.keys(refusals).find((name) => row.measured[name]);
  // Number 0 was executed, unless an expert or a person took the step.
  const fate = (step) => (step.executed && !step.same ? "asked" : "executed");
  const subgoalOf = (row) => (row.subgoal === null ? h("em", {}, "no subgoal") : h("q", { dir: "auto" }, row.subgoal));
  const labelOf = (row) => (row.action === null ? "no action" : row.action.label);

  // What can be drawn at a step, besides what was executed.
  function views(step) {
    const found = groups(step);
    if (!found) return [];
    const several = [];
    if (found.num_probes) several.push(["probes", "probes"]);
    if (found.actor.size > 1) several.push(["actions", "actions"]);
    return several;
  }

  // What is drawn unless somebody chooses: what was compared in training, but what a person did before all.
  function preferred(step) {
    const offered = views(step);
    return offered.length && (groups(step).num_probes || groups(step).actor.mean !== null) ? offered[0][0] : "executed";
  }

  // Rows under one sign each, and the actions to draw for it.
  function drawn(step, view) {
    const found = groups(step);
    if (!found) return [];
    if (view === "probes") return found.planner.rows.map((row) => ({ row, actions: row.probes.rows.map((probe) => probe.action) }));
    return found.actor.rows.map((row) => ({ row, actions: [row.action] }));
  }

  // Signs beside each other where several actions hit the same place.
  function free(taken, point, radius, width, height) {
    for (let turn = 0; turn < 40; turn++) {
      const reach = turn ? radius * 2.3 * Math.ceil(turn / 8) : 0, angle = (turn * Math.PI) / 4;
      const x = point[0] + reach * Math.cos(angle), y = point[1] + reach * Math.sin(angle);
      const inside = turn === 0 || (x >= radius && y >= radius && x <= width - radius && y <= height - radius);
      if (inside && taken.every(([left, top]) => Math.hypot(left - x, top - y) >= radius * 2.1)) return [x, y];
    }
    return point;
  }

  function draw(drawing, step, view, only, width, height) {
    const unit = Math.max(width, height) / 130, radius = unit * 3.1, taken = [];
    const below = s("g", {}); // lines, so that none crosses a letter
    drawing.append(below);
    drawn(step, view).forEach(({ row, actions }, index) => {
      if (only !== null && only !== index) return;
      for (const action of actions) {
        if (!action || action.kind === "parse_error") continue;
        const { start, line } = outline(action, width, height, unit);
        if (!start) continue;
        const [x, y] = free(taken, start, radius, width, height);
        taken.push([x, y]);
        const colour = `c${index % COLOURS}`;
        if (line) below.append(s("path", { class: "mark halo", "stroke-width": unit * 1.5, d: line }), s("path", { class: `mark ${colour}`, "stroke-width": unit * 0.75, d: line }));
        if (x !== start[0] || y !== start[1]) {
          below.append(s("path", { class: `mark ${colour}`, "stroke-width": unit * 0.5, d: `M${start[0]} ${start[1]} L${x} ${y}` }), s("circle", { class: `spot ${colour}`, cx: start[0], cy: start[1], r: unit * 0.8 }));
        }
        const look = { class: `spot ${colour}`, "stroke-width": unit * 0.5 };
        if (row.executed) drawing.append(s("circle", { class: `mark ${colour}`, "stroke-width": unit * 0.6, cx: x, cy: y, r: radius * 1.35 }));
        if (view === "probes") drawing.append(s("circle", { ...look, cx: x, cy: y, r: radius }));
        else drawing.append(s("rect", { ...look, x: x - radius * 0.9, y: y - radius * 0.9, width: radius * 1.8, height: radius * 1.8, rx: radius * 0.3 }));
        if (refusal(row)) drawing.append(s("path", { ...look, class: "crossed", d: `M${x - radius * 1.3} ${y + radius * 1.3} L${x + radius * 1.3} ${y - radius * 1.3}` }));
        drawing.append(s("text", { class: "letter", x, y, "font-size": radius * 1.35, "text-anchor": "middle", "dominant-baseline": "central" }, nameOf(view, index)));
      }
    });
  }

  function legend(step, view, only) {
    const placed = (action) => action && action.kind !== "parse_error" && (action.points.length || action.direction);
    return h("ul", { class: "legend marks", "aria-label": "marks on the screenshot" }, drawn(step, view).map(({ row, actions }, index) => (only !== null && only !== index ? null
      : h("li", {}, sign(view, index, row.executed), view === "probes" ? subgoalOf(row) : labelOf(row), counted(row), row.executed ? ` ${fate(step)}` : refusal(row) ? ` ${refusal(row)}` : null,
        actions.some(placed) ? null : h("small", {}, " (nowhere)")))));
  }

  // The lists

  const worth = (value, kind) => h("span", { class: `worth ${kind || ""}`, style: value ? `background:color-mix(in srgb, var(${value < 0 ? "--minus" : "--plus"}) ${Math.min(60, Math.round(30 * Math.abs(value)))}%, transparent)` : null }, number(value));
  const named = (values) => Object.entries(values).map(([name, value]) => `${spoken(name)} ${number(value)}`);

  const measuredOf = (row) => Object.fromEntries(Object.entries(row.measured).filter(([name]) => !(name in refusals)));

  function details(row) {
    const words = [...named(row.parts), ...named(measuredOf(row)).map((word) => `measured ${word}`)];
    return [words.length ? h("small", { class: "line" }, words.join(" · ")) : null,
      row.probes ? probes(row.probes) : null,
      row.response === undefined ? null : h("details", { class: "response" }, h("summary", {}, "response"), h("pre", { dir: "auto" }, row.response))];
  }

  function probes(group) {
    if (!group.size) return null;
    const worthOf = (row) => (row.reward !== null ? number(row.reward) : named(measuredOf(row)).join(", "));
    return h("small", { class: "line" }, "probed: ", group.rows.map((row, index) => [index ? " · " : "", labelOf(row), counted(row), worthOf(row) ? h("b", {}, ` → ${worthOf(row)}`) : null]).flat(),
      group.omitted ? ` · ${group.omitted} more` : null);
  }

  // A list of rows; the sign of each is a button that leaves the others out of the screenshot.
  function list(step, title, group, view, shown, choose) {
    const rewards = new Set(group.rows.map((row) => row.reward));
    const compared = group.mean !== null;
    const words = compared ? [`mean reward ${number(group.mean)}`, group.size > 1 && rewards.size === 1 && !group.omitted ? "equal rewards: nothing to tell apart" : null] : [];
    const drawable = views(step).map(([name]) => name);
    const rows = group.rows.map((row, index) => {
      const on = shown.view === view && shown.only === index;
      const pick = !drawable.includes(view) ? sign(view, index, row.executed) : h("button", { type: "button", class: "pick-one", "data-focus": `${view}${index}`, "aria-pressed": String(on), "aria-label": `draw only ${nameOf(view, index)}`, title: "draw only this one", onclick: () => choose(view, on ? null : index) }, sign(view, index, row.executed));
      return h("li", { class: row.executed ? "candidate executed" : "candidate" }, pick,
        h("div", { class: "what" }, view === "probes" ? subgoalOf(row) : labelOf(row), counted(row), row.executed ? [" ", badge(fate(step), "good")] : null, refusal(row) ? [" ", badge(refusal(row), "bad", refusals[refusal(row)])] : null, row.format_ok ? null : [" ", badge("format", "warn", "the response lacks the form its format asks for")]),
        compared ? [worth(row.reward, "plain"), worth(row.advantage)] : null, h("div", { class: "more" }, details(row)));
    });
    return h("section", { class: compared ? "block compared" : "block" },
      h("div", { class: "candidate heads" }, h("h3", {}, title), compared ? [h("small", { class: "worth" }, "reward"), h("small", { class: "worth" }, "advantage")] : null),
      h("ol", { class: "candidates" }, rows),
      h("p", { class: "facts" }, [...words, group.omitted ? `${group.omitted} more are not shown here` : null].filter(Boolean).join(" · ")));
  }

  function panel(step, shown, choose) {
    const found = step.candidates;
    if (!found) return null;
    if (!found.planner) return h("p", { class: "facts" }, `${found.num_samples} samples were compared at this step; they are left out to keep this file small (gui-agent view --serve shows them)`);
    const refused = found.actor.rows.some(refusal);
    const of = (count, word) => `${count} ${refused ? "proposal" : word}${count === 1 ? "" : "s"}`;
    const executed = found.planner.rows.find((row) => row.executed);
    const under = executed && executed.subgoal !== null && !refused ? ` under “${executed.subgoal}”` : "";
    const unasked = executed && executed.subgoal === null;
    return h("div", { class: "groups" },
      found.planner.size ? list(step, `planner: ${of(found.planner.size, "subgoal")}`, found.planner, "probes", shown, choose) : null,
      found.actor.size ? list(step, `actor: ${of(found.actor.size, "action")}${under}`, found.actor, "actions", shown, choose) : null,
      unasked ? h("p", { class: "facts" }, "The actor was not asked: the response holds no subgoal.") : null);
  }

  // Rows of the strip, role by role: what was executed, and what it was compared with.
  function strip(episode) {
    const rows = [];
    for (const role of ["planner", "actor"]) {
      const at = (step) => (groups(step) && step.candidates[role].mean !== null ? step.candidates[role] : null);
      const executed = (step) => (at(step) ? at(step).rows.find((row) => row.executed) : null);
      if (!episode.steps.some(at)) continue;
      const parts = [...new Set(episode.steps.flatMap((step) => (executed(step) ? Object.keys(executed(step).parts) : [])))];
      rows.push([`${role} reward`, (step) => (executed(step) ? executed(step).reward : null)]);
      for (const name of parts) rows.push([`· ${name}`, (step) => (executed(step) ? executed(step).parts[name] : null)]);
      rows.push(["· mean of its group", (step) => (at(step) ? at(step).mean : null)]);
      rows.push([`${role} advantage`, (step) => (executed(step) ? executed(step).advantage : null)]);
    }
    return rows;
  }

  return { views, preferred, draw, legend, panel, strip };
})();
