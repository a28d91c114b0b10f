// What pages can do besides, where scripts run. Without it they work, too.
"use strict";

// The viewer's time zone, for the times that the server writes.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) document.cookie = `latchkey-zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax`;

// An invitation's secret is behind the `#`, which no server sees.
const token = document.querySelector("form[action='/invitation'] [name=token]");
if (token && location.hash.length > 1) {
  token.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
}

// <button data-copy="#id" hidden>Copy</button>
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const words = button.textContent;
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, 1500);
  });
}

// A <div data-tabs="label"> shows one of its <section data-tab="name"> at a time, as tabs.
for (const box of document.querySelectorAll("[data-tabs]")) {
  const panels = [...box.querySelectorAll("[data-tab]")];
  const list = document.createElement("div");
  list.className = "tabs";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", box.dataset.tabs);
  const show = (chosen) => panels.forEach((panel, index) => {
    panel.hidden = index !== chosen;
    list.children[index].setAttribute("aria-selected", String(index === chosen));
    list.children[index].tabIndex = index === chosen ? 0 : -1;
  });
  panels.forEach((panel, index) => {
    panel.id ||= `tab-${index}-${panel.dataset.tab.toLowerCase().replace(/\W+/g, "-")}`;
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", textContent: panel.dataset.tab, id: `${panel.id}-tab` });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => show(index));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + panels.length) % panels.length;
      show(next);
      list.children[next].focus();
    });
    list.append(tab);
  });
  box.prepend(list);
  const wrong = panels.findIndex((panel) => panel.querySelector("[aria-invalid=true]"));
  show(Math.max(wrong, 0));
}

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[method=post]:not([data-live])")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
