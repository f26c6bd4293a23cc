// Keys and ticks of a list: the row that is chosen, the two episodes to compare.
"use strict";
(() => {
  const rows = [...document.querySelectorAll(".episodes tbody tr")];
  const ticks = [...document.querySelectorAll(".episodes input[type=checkbox]")];
  const compare = document.getElementById("compare");
  let at = -1;

  function choose(index) {
    if (!rows.length) return;
    if (rows[at]) rows[at].classList.remove("on");
    at = Math.max(0, Math.min(index, rows.length - 1));
    rows[at].classList.add("on");
    rows[at].querySelector(".goal a").focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: "nearest" });
  }

  function ticked() {
    return ticks.filter((tick) => tick.checked).map((tick) => tick.value);
  }

  function follow(link) {
    if (link) link.click();
  }

  const moves = {
    j: () => choose(at + 1),
    ArrowDown: () => choose(at + 1),
    k: () => choose(at - 1),
    ArrowUp: () => choose(at - 1),
    g: () => follow(rows[at] && rows[at].querySelector('a[href^="/group/"]')),
    x: () => follow(rows[at] && rows[at].querySelector("input[type=checkbox]")),
    n: () => follow(document.querySelector('a[rel="next"]')),
    p: () => follow(document.querySelector('a[rel="prev"]')),
    "/": () => document.querySelector("input[type=search]").focus(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  });

  for (const select of document.querySelectorAll(".fields select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
  for (const tick of ticks) {
    tick.addEventListener("change", () => { compare.disabled = ticked().length !== 2; });
  }
  if (compare) {
    compare.addEventListener("click", () => {
      const [left, right] = ticked();
      location.href = `/compare?${new URLSearchParams({ left, right })}`;
    });
  }
})();
