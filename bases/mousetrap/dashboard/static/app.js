// Adds keys, live updates, copying and dialogs; every page works without it.
"use strict";
(() => {
  const PAUSED = "mousetrap-paused";
  const KEYS_WAIT_MS = 1500;
  const TIMES_EVERY_MS = 5000;
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const all = (what, from = document) => [...from.querySelectorAll(what)];
  const find = (what) => document.querySelector(what);

  // Relative times grow old while a page is open.
  const ago = (ms) => {
    const seconds = (Date.now() - ms) / 1000;
    const size = Math.abs(seconds);
    if (size < 1) return "now";
    const [each, unit] = UNITS.find(([least]) => size >= least);
    const text = `${Math.floor(size / each)} ${unit}`;
    return seconds > 0 ? `${text} ago` : `in ${text}`;
  };
  const refreshTimes = () => all("time[data-ms]").forEach((it) => {
    const text = ago(Number(it.dataset.ms));
    if (it.textContent !== text) it.textContent = text;
    if (!it.dataset.local) {
      it.dataset.local = "1";
      it.title += ` · ${new Date(Number(it.dataset.ms)).toLocaleString()} here`;
    }
  });
  setInterval(() => document.hidden || refreshTimes(), TIMES_EVERY_MS);

  // The stream is there while it is not paused. Without its element the connection is closed.
  const stream = find("#stream");
  const button = find("[data-live]");
  const paused = () => sessionStorage.getItem(PAUSED) === "1";
  const connect = (first = false) => {
    if (!stream || !stream.dataset.stream || !window.htmx) return;
    stream.replaceChildren();
    if (!paused()) {
      const child = document.createElement("div");
      child.setAttribute("hx-sse:connect", stream.dataset.stream);
      child.setAttribute("hx-sse:close", "end");
      stream.append(child);
      if (!first) window.htmx.process(child); // it looks through the page itself once that is whole, after this script
    }
    if (button) {
      button.setAttribute("aria-pressed", String(paused()));
      button.querySelector("[data-live-text]").textContent = paused() ? "paused" : "live";
    }
  };
  const pause = () => {
    sessionStorage.setItem(PAUSED, paused() ? "0" : "1");
    connect();
  };
  if (button) button.addEventListener("click", pause);
  // What is over changes no more; its stream is not opened again.
  if (stream && button) stream.addEventListener("end", () => {
    delete stream.dataset.stream;
    button.disabled = true;
    button.querySelector("[data-live-text]").textContent = "ended";
  });

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      copy.textContent = "copied";
      setTimeout(() => { copy.textContent = "copy"; }, KEYS_WAIT_MS);
    }
    if (event.target.closest("[data-help]")) find("#keys").showModal();
    const opener = event.target.closest("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (dialog) {
      event.preventDefault();
      dialog.showModal();
    }
    const closer = event.target.closest("[data-close]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog").close();
    }
  });
  document.addEventListener("change", (event) => {
    const box = event.target.closest("[data-select-all]");
    if (box) all("[data-select]").forEach((it) => { it.checked = box.checked; });
    if (event.target.closest("[data-submit-on-change]")) event.target.form.requestSubmit();
    // A choice that decides which fields follow shows them, as the button beside it does.
    const choice = event.target.closest("[data-press]");
    const shows = choice && all("button", choice.form).find((it) => it.value === choice.dataset.press);
    if (shows) choice.form.requestSubmit(shows);
    // A box that stands for no value and the text beside it exclude each other.
    const none = event.target.closest("[data-clears]");
    if (none && none.checked) document.getElementById(none.dataset.clears).value = "";
  });

  document.addEventListener("input", (event) => {
    if (event.target.id) all(`[data-clears="${CSS.escape(event.target.id)}"]`).forEach((it) => { it.checked = false; });
  });

  // A stage that is pointed at in one picture of a run is marked in the other.
  document.addEventListener("mouseover", (event) => {
    const at = event.target.closest("[data-stage]");
    const name = at ? at.dataset.stage : null;
    all("[data-stage]").forEach((it) => it.classList.toggle("same", it.dataset.stage === name));
  });

  // Rows are walked by keys; the one that is at is marked, by an attribute that stays when its row is sent again.
  const walk = (step) => {
    const rows = all(".rows tbody tr");
    if (!rows.length) return;
    const at = rows.findIndex((it) => "at" in it.dataset);
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
    rows.forEach((it) => { delete it.dataset.at; });
    next.dataset.at = "";
    next.scrollIntoView({ block: "nearest" });
  };
  const row = (what) => find(`.rows tbody tr[data-at] ${what}`);
  const simple = {
    j: () => walk(1),
    k: () => walk(-1),
    x: () => row("[data-select]") && row("[data-select]").click(),
    Enter: () => row("a[href]") && row("a[href]").click(),
    p: () => button && !button.disabled && pause(),
  };
  let first = "";
  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "Escape" && inField) event.target.blur();
    if (inField || event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    const marked = find(`[data-key="${CSS.escape(first + event.key)}"]`);
    if (marked) {
      event.preventDefault();
      if (marked.matches("input")) marked.focus(); else marked.click();
    } else if (!first && simple[event.key]) {
      event.preventDefault();
      simple[event.key]();
    }
    first = !first && event.key === "g" ? "g" : "";
    if (first) setTimeout(() => { first = ""; }, KEYS_WAIT_MS);
  });

  all("[data-back]").forEach((it) => { it.value = location.pathname + location.search; });
  refreshTimes();
  connect(true);
})();
