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
  box.classList.add("made");
  const wrong = panels.findIndex((panel) => panel.querySelector("[aria-invalid=true]"));
  show(Math.max(wrong, 0));
}

// What is typed into a field chooses the option that it belongs to: data-chooses="field=option" on it, or
// around it.
for (const part of document.querySelectorAll("[data-chooses]")) {
  const [name, option] = part.dataset.chooses.split("=");
  part.addEventListener("input", ({ target }) => {
    if (!target.value.trim()) return;
    for (const choice of target.form.querySelectorAll(`[name="${name}"]`)) {
      if (choice.type === "radio") choice.checked = choice.value === option;
      else if (choice.type === "checkbox") choice.checked = option === "on";
      else choice.value = option;
    }
  });
}

// What is wrong with a form is what one goes to first.
document.querySelector(":is(input, select, textarea)[aria-invalid=true], [aria-invalid=true] input")?.focus();

// Leaving a page asks first where something was typed and not sent, also in another form of it.
const typed = new Set();
document.addEventListener("input", ({ target: { form } }) => {
  if (form?.method === "post" && !form.closest(".outside, .confirm") && !form.matches("[data-live]")) typed.add(form);
});
document.addEventListener("submit", (event) => typed.delete(event.target));
addEventListener("beforeunload", (event) => { if (typed.size) event.preventDefault(); });

// A choice other than "custom" empties the fields that are typed for that one: data-clears="from to" on it.
for (const choice of document.querySelectorAll("[data-clears]")) {
  choice.addEventListener("change", () => {
    if (choice.value === "custom") return;
    for (const name of choice.dataset.clears.split(" ")) choice.form.elements[name].value = "";
  });
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
  typed.clear();
});

// The playground shows an answer as it comes.
const live = document.querySelector("form[data-live]");
if (live) {
  const make = (name, text, parent) => {
    const element = parent.appendChild(document.createElement(name));
    element.textContent = text;
    return element;
  };
  // The text of a chunk of a stream, or of an answer that came whole.
  const said = (json) => json.choices?.[0]?.delta?.content ?? json.choices?.[0]?.message?.content ?? json.error?.message ?? "";
  live.addEventListener("submit", async (event) => {
    event.preventDefault();
    const place = document.getElementById("outcome");
    place.replaceChildren();
    make("h2", "Answer", place);
    const status = make("p", "Sending…", place);
    const text = make("pre", "", place);
    text.className = "answer";
    const button = live.querySelector("button");
    button.disabled = true;
    try {
      const body = new URLSearchParams(new FormData(live));
      const response = await fetch(live.dataset.live, { method: "POST", body });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let head, rest = "", raw = "";
      const line = (words) => {
        const data = words.startsWith("data:") ? words.slice(5).trim() : words;
        try { text.textContent += said(JSON.parse(data)); } catch { /* a comment, or the end of the stream */ }
      };
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        rest += part.value;
        if (head) raw += part.value;
        const lines = rest.split("\n");
        rest = lines.pop();
        for (const words of lines) {
          if (head) { line(words); continue; }
          head = JSON.parse(words);
          if (head.problem) throw new Error(head.problem);
          raw = [...lines.slice(1), rest].join("\n");
          status.textContent = "";
          const badge = make("span", head.status, status);
          badge.className = `badge ${head.status < 400 ? "good" : "bad"}`;
        }
      }
      line(rest);
      const details = make("details", "", place);
      make("summary", "Headers and body", details);
      const facts = make("dl", "", details);
      facts.className = "facts";
      for (const [name, value] of head.headers) {
        make("dt", name, facts);
        make("dd", value, facts);
      }
      make("pre", raw, details).tabIndex = 0;
      const record = await fetch(`/admin/playground/record?request_id=${encodeURIComponent(head.request_id)}`);
      // Our own page's part, escaped where it was made.
      if (record.ok) place.append(...new DOMParser().parseFromString(await record.text(), "text/html").body.children);
    } catch (error) {
      status.textContent = error.message;
      status.className = "error";
    }
    button.disabled = false;
  });
}
