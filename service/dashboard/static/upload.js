// The form works without this file: a file that is dropped anywhere on the page is chosen, and gives a new funnel its name.
"use strict";
const file = document.querySelector("input[type=file]"), zone = document.querySelector(".drop"), funnel = document.querySelector("input[name=funnel]");
for (const kind of ["dragenter", "dragover"]) addEventListener(kind, (event) => { event.preventDefault(); zone.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => zone.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) { file.files = event.dataTransfer.files; file.dispatchEvent(new Event("change")); }
});
const suggest = () => {
  const name = file.files[0]?.name.replace(/\..*$/, "").toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 64);
  if (!funnel.value && name) funnel.value = name;
};
file.addEventListener("change", suggest);
suggest(); // chosen before this was loaded
