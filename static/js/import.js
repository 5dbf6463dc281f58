// A file that is too large is told before it is sent. The bar of an import that waits or runs is asked for each second;
// when it has begun or ended, the page is loaded anew.
"use strict";

async function showProgress() {
  const place = document.getElementById("progress");
  if (place === null || document.hidden) return;
  let part = null;
  try { part = await fetched(place.dataset.address); } catch { /* the server is away: the next second asks again */ }
  if (part === null) return;
  const fresh = new DOMParser().parseFromString(part, "text/html").getElementById("progress");
  if (fresh === null || fresh.dataset.state !== place.dataset.state) {
    window.location.reload();
    return;
  }
  // The bar stays the same element, so that it moves and does not flicker; words are only touched when they change.
  const [bar, now] = [place.querySelector("progress"), fresh.querySelector("progress")];
  if (now.hasAttribute("value")) bar.value = now.value;
  const words = [place.querySelector(".bar-words"), fresh.querySelector(".bar-words")];
  if (words[0].innerHTML !== words[1].innerHTML) words[0].replaceChildren(...words[1].childNodes);
}

function checkSize(event) {
  const field = event.target;
  const isTooLarge = [...field.files].some((file) => file.size > Number(field.dataset.mostBytes));
  field.setCustomValidity(isTooLarge ? field.dataset.tooLarge : "");
  field.reportValidity();
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("file")?.addEventListener("change", checkSize);
  if (document.getElementById("progress") !== null) window.setInterval(showProgress, 1000);
});
