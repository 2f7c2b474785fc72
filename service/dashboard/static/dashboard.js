// Everything works without this file. A picked funnel, stage or horizon shows at once, and a run under way is looked at again.
"use strict";
for (const form of document.querySelectorAll("form[method=get]")) {
  if (form.matches(".picker, .funnels")) form.addEventListener("change", () => form.submit());
}
if (document.querySelector("[data-running]")) setTimeout(() => location.reload(), 2000);
