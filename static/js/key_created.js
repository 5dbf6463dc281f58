// The page that shows a new key: a reload must not send the form again and make another one.
"use strict";

window.history.replaceState(null, "", document.currentScript.dataset.address);
