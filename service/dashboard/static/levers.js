// The page works without this file, by its button. With it each lever gets a slider, and what changes is drawn while it moves.
"use strict";
const form = document.querySelector("form.levers");
const answer = document.getElementById("answer");
const told = document.getElementById("told");
let busy = false, moved = false;

const bounds = { inflow: () => [-50, 100], conversion: () => [-50, 50], delay: () => [-14, 14],
  add: (stage) => [-stage.dataset.most, +stage.dataset.most] };

function fit(lever) {
  const range = lever.querySelector("input[type=range]"), amount = lever.querySelector("[name=amount]");
  const [low, high] = bounds[lever.querySelector("[name=kind]").value](lever.querySelector("[name=stage]").selectedOptions[0]);
  Object.assign(range, { min: low, max: high, step: 1, hidden: false, value: +amount.value || 0 });
}

async function draw() {
  if (busy) { moved = true; return; }
  busy = true;
  do {
    moved = false;
    const query = new URLSearchParams(new FormData(form));
    const reply = await fetch(`/levers/answer?${query}`).catch(() => null);
    if (!reply) break;
    const found = new DOMParser().parseFromString(await reply.text(), "text/html").body;
    const open = answer.querySelector("details")?.open;
    answer.replaceChildren(...found.childNodes);
    if (open) answer.querySelector("details")?.setAttribute("open", "");
    history.replaceState(null, "", `/levers?${query}`);
  } while (moved);
  busy = false;
  answer.dispatchEvent(new Event("drawn"));
}

for (const lever of form.querySelectorAll(".lever")) {
  fit(lever);
  const range = lever.querySelector("input[type=range]"), amount = lever.querySelector("[name=amount]");
  range.addEventListener("input", () => { amount.value = range.value; });
  amount.addEventListener("input", () => { range.value = amount.value; });
  lever.addEventListener("change", () => fit(lever));
}
form.addEventListener("input", draw);
form.addEventListener("change", draw);
form.addEventListener("submit", (event) => {
  if (!event.submitter?.name) { event.preventDefault(); draw(); }
});
form.addEventListener("change", () => answer.addEventListener("drawn", () => {
  told.textContent = answer.querySelector("[data-summary]")?.dataset.summary ?? "";
}, { once: true }));
