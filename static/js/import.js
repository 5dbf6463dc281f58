// The bar of an import that waits or runs, asked for each second; when it has ended, the page is loaded anew.
"use strict";

async function showProgress() {
  const place = document.getElementById("progress");
  if (place === null || document.hidden) return;
  let part = null;
  try { part = await fetched(place.dataset.address); } catch { /* the server is away: the next second asks again */ }
  if (part === null) return;
  const fresh = new DOMParser().parseFromString(part, "text/html").getElementById("progress");
  if (fresh === null || fresh.dataset.address === undefined) {
    window.location.reload();
    return;
  }
  // The bar stays the same element, so that it moves and does not flicker; words are only touched when they change.
  const [bar, now] = [place.querySelector("progress"), fresh.querySelector("progress")];
  if (now.hasAttribute("value")) bar.value = now.value;
  const words = [place.querySelector(".bar-words"), fresh.querySelector(".bar-words")];
  if (words[0].innerHTML !== words[1].innerHTML) words[0].replaceChildren(...words[1].childNodes);
}

window.setInterval(showProgress, 1000);
