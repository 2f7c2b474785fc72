// Everything works without this file. A picked funnel, stage or horizon shows at once, and a run under way is followed.
"use strict";
for (const form of document.querySelectorAll("form[method=get]")) {
  if (form.matches(".picker, .funnels")) form.addEventListener("change", () => form.submit());
}
async function follow() {
  const reply = await fetch(location.href).catch(() => null);
  if (reply?.ok) {
    const page = new DOMParser().parseFromString(await reply.text(), "text/html"), main = page.querySelector("main");
    if (main.innerHTML !== document.querySelector("main").innerHTML) {
      document.querySelector("main").replaceChildren(...main.childNodes);
      document.title = page.title;
    }
  }
  if (document.querySelector("[data-running]")) setTimeout(follow, 1000);
}
if (document.querySelector("[data-running]")) setTimeout(follow, 1000);
