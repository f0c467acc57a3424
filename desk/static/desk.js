// Keys for lists and forms that work without a mouse. Everything here has a button or a link as well.
"use strict";

const rowsOf = () => [...document.querySelectorAll("[data-rows] tbody > tr[tabindex]")];

function move(step) {
  const rows = rowsOf();
  const at = rows.indexOf(document.activeElement?.closest("tr[tabindex]"));
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1)];
  next?.focus();
}

function inText(target) {
  return target.matches("input:not([type=checkbox]), select, textarea");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (inText(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const row = document.activeElement?.closest("tr[tabindex]");
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => row?.querySelector("input[type=checkbox]")?.click(),
    "/": () => document.querySelector("[data-search]")?.focus(),
    a: () => document.querySelector("[data-assign]")?.focus(),
    c: () => document.querySelector("[data-comment]")?.focus(),
  };
  if (event.key === "Enter" && event.target === row && row.dataset.open) {
    location.assign(row.dataset.open);
  } else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) {
    for (const box of event.target.closest("table").querySelectorAll("[name=identity], [name=pair]")) box.checked = event.target.checked;
  }
});
