// The status badge, and the refresh that can be switched off. Without this script a page is as it was sent.
"use strict";

async function fetched(address) {
  const answer = await fetch(address, { credentials: "same-origin", headers: { "X-Requested-With": "fetch" } });
  // A session that ended leads to the sign-in page: then what is shown stays, and the next click asks to sign in.
  return answer.ok && !answer.redirected ? answer.text() : null;
}

async function showStatus(place) {
  const isOpen = place.querySelector("details")?.open;
  let part = null;
  try { part = await fetched(place.dataset.address); } catch { /* the server is away: the next round asks again */ }
  if (part === null) {
    place.querySelector(".badge")?.classList.add("stale");
    return;
  }
  place.innerHTML = part;
  if (isOpen) place.querySelector("details").open = true;
}

function isBusy(content) {
  return document.hidden || content.contains(document.activeElement) || content.querySelector("details[open], dialog[open]") !== null;
}

async function refresh() {
  const content = document.getElementById("content");
  if (isBusy(content)) return;
  let text = null;
  try { text = await fetched(window.location.href); } catch { /* as above */ }
  if (text === null || isBusy(content)) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  const fresh = page.getElementById("content");
  if (fresh === null) return;
  content.replaceChildren(...fresh.childNodes);
  document.getElementById("shown-at").replaceWith(page.getElementById("shown-at"));
  document.dispatchEvent(new Event("content-replaced"));
}

function start() {
  const place = document.getElementById("status");
  if (place !== null) {
    showStatus(place);
    window.setInterval(() => { if (!document.hidden) showStatus(place); }, 30000);
  }
  // On a phone the pages stand in one line that scrolls: the open one must be in sight.
  document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const box = document.getElementById("refresh");
  if (box === null) return;
  const seconds = Number(box.closest("[data-seconds]").dataset.seconds);
  box.checked = window.localStorage.getItem("refresh") !== "off";
  box.addEventListener("change", () => window.localStorage.setItem("refresh", box.checked ? "on" : "off"));
  window.setInterval(() => { if (box.checked) refresh(); }, seconds * 1000);
}

document.addEventListener("DOMContentLoaded", start);
