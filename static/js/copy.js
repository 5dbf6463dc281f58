// A button at each block of code that copies it. Without this script the buttons stay hidden.
"use strict";

async function copy(code) {
  if (navigator.clipboard) return navigator.clipboard.writeText(code.textContent);
  // Over plain HTTP from another host there is no clipboard to write to: the text is selected and the old command used.
  window.getSelection().selectAllChildren(code);
  if (!document.execCommand("copy")) throw new Error("not copied");
}

function show(button, words) {
  const before = button.dataset.words ?? button.textContent;
  button.dataset.words = before;
  button.textContent = words;
  window.setTimeout(() => { button.textContent = before; }, 2000);
}

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await copy(button.parentElement.querySelector("code"));
        show(button, button.dataset.copied);
      } catch {
        show(button, "Select it and press Ctrl-C");
      }
    });
  }
  // On a phone the table of contents would be a page of its own.
  const contents = document.querySelector(".contents details");
  if (contents !== null && window.matchMedia("(max-width: 1100px)").matches) contents.open = false;
});
