// The keys of the label queue, and its forms sent without loading a page anew. Without this script they are plain forms.
"use strict";

let isSending = false;

function announcer() {
  let place = document.getElementById("said");
  if (place === null) {
    place = document.createElement("div");
    place.id = "said";
    place.className = "hidden";
    place.setAttribute("aria-live", "polite");
    document.body.append(place);
  }
  return place;
}

function settle() {
  const find = document.querySelector(".find");
  if (find !== null) find.hidden = false;
  const notes = [...document.querySelectorAll("main > .note")].map((note) => note.textContent);
  if (notes.length === 0) return;
  document.getElementById("ticket")?.focus({ preventScroll: true });
  const place = announcer();
  window.setTimeout(() => { place.textContent = notes.join(" "); }, 150);
}

async function send(form, button) {
  const body = new URLSearchParams(new FormData(form));
  if (button?.name) body.set(button.name, button.value);
  const answer = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("main");
  // Signed out meanwhile, or a failure: then the page itself shows what is the matter.
  if (fresh === null || page.getElementById("ticket") === null) { window.location.reload(); return; }
  const areKeysOpen = document.getElementById("keys")?.open ?? true;
  document.querySelector("main").replaceChildren(...fresh.childNodes);
  window.history.replaceState(null, "", answer.url);
  const keys = document.getElementById("keys");
  if (keys !== null) keys.open = areKeysOpen;
  window.scrollTo(0, 0);
  settle();
}

async function submitted(event) {
  const form = event.target;
  if (form.id !== "desk" && form.id !== "undo") return;
  event.preventDefault();
  if (isSending) return;
  isSending = true;
  try { await send(form, event.submitter); } catch { window.location.reload(); } finally { isSending = false; }
}

function choices() {
  return [...document.querySelectorAll(".choice")].filter((button) => !button.hidden);
}

function narrow(words) {
  const wanted = words.trim().toLowerCase();
  for (const button of document.querySelectorAll(".choice")) {
    button.hidden = !button.textContent.toLowerCase().includes(wanted);
  }
}

function typed(event) {
  if (event.target.id === "find") narrow(event.target.value);
}

function inFind(event, field) {
  if (event.key === "Enter") {
    event.preventDefault();
    if (field.value.trim()) choices()[0]?.click();
  } else if (event.key === "Escape") {
    field.value = "";
    narrow("");
    document.getElementById("ticket")?.focus();
  }
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  if (target.id === "find") { inFind(event, target); return; }
  if (target.matches("input:not([type='checkbox']), select, textarea")) return;
  if (event.key === "?") {
    const keys = document.getElementById("keys");
    if (keys !== null) keys.open = !keys.open;
  } else if (event.key === "/") {
    const find = document.getElementById("find");
    if (find === null) return;
    event.preventDefault();
    find.focus();
  } else if (!event.repeat) {
    const key = event.key === "ArrowRight" ? "s" : event.key.toLowerCase();
    const button = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
    if (button === undefined || button.disabled) return;
    event.preventDefault();
    button.click();
  }
}

document.addEventListener("submit", submitted);
document.addEventListener("input", typed);
document.addEventListener("keydown", pressed);
document.addEventListener("DOMContentLoaded", settle);
