// Copies a new key, and closes the popup that made it. The page works without.
"use strict";
{
    const key = document.getElementById("apiguard-key");
    const copy = document.getElementById("apiguard-copy");
    const status = document.getElementById("apiguard-copied");

    copy.hidden = false;
    copy.addEventListener("click", async () => {
        key.select();
        try {
            await navigator.clipboard.writeText(key.value);
            status.textContent = copy.dataset.done;
        } catch {
            // No clipboard without https, or not allowed: the older way, then the person.
            status.textContent = document.execCommand("copy")
                ? copy.dataset.done
                : copy.dataset.failed;
        }
    });

    const close = document.getElementById("apiguard-close");
    if (close && window.opener) {
        close.hidden = false;
        close.addEventListener("click", () => {
            window.opener.dismissAddRelatedObjectPopup(window, close.dataset.pk, close.dataset.name);
        });
    }
}
