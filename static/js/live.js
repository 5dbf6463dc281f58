// Brings the page of a run or an import up to date while it is at work, without losing the place one reads at.
"use strict";

(() => {
    const EVERY_MS = 3000;
    const PART = "#content"; // below the header: forms, tables, figures

    // Where each box that scrolls stands; one that stood at its end follows what is added to it.
    const places = (root) =>
        [...root.querySelectorAll("pre, .sheet-scroll")].map((box) => ({
            top: box.scrollTop,
            left: box.scrollLeft,
            atEnd: box.scrollTop + box.clientHeight >= box.scrollHeight - 4,
        }));

    const putBack = (root, old) => {
        [...root.querySelectorAll("pre, .sheet-scroll")].forEach((box, index) => {
            const place = old[index];
            if (!place) return;
            box.scrollTop = place.atEnd ? box.scrollHeight : place.top;
            box.scrollLeft = place.left;
        });
    };

    // Nobody looks, or somebody has marked words to copy them.
    const isBusy = () => document.hidden || String(window.getSelection()).trim() !== "";

    const renew = async () => {
        if (!document.getElementById("live")) return;
        if (!isBusy()) {
            try {
                const answer = await fetch(window.location.href, { credentials: "same-origin", cache: "no-store" });
                if (answer.ok && !answer.redirected) {
                    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
                    const [now, next] = [document.querySelector(PART), page.querySelector(PART)];
                    if (now && next) {
                        const [old, scrolled] = [places(now), window.scrollY];
                        now.replaceChildren(...next.childNodes);
                        putBack(now, old);
                        window.scrollTo({ top: scrolled, behavior: "instant" });
                    }
                }
            } catch {
                // The service is away for a moment: the next round asks again.
            }
        }
        window.setTimeout(renew, EVERY_MS);
    };

    window.addEventListener("DOMContentLoaded", () => window.setTimeout(renew, EVERY_MS));
})();
