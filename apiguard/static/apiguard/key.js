// Copies a new key or a command, and closes the popup that made it. The page works without.
"use strict";
{
    for (const copy of document.querySelectorAll("[data-copies]")) {
        const field = document.getElementById(copy.dataset.copies);
        const status = document.getElementById(copy.dataset.status);
        copy.hidden = false;
        copy.addEventListener("click", async () => {
            field.select();
            try {
                await navigator.clipboard.writeText(field.value);
                status.textContent = copy.dataset.done;
            } catch {
                // No clipboard without https, or not allowed: the older way, then the person.
                status.textContent = document.execCommand("copy")
                    ? copy.dataset.done
                    : copy.dataset.failed;
            }
        });
    }
    document.getElementById("apiguard-copy").focus();

    const close = document.getElementById("apiguard-close");
    if (close && window.opener) {
        close.hidden = false;
        close.addEventListener("click", () => {
            window.opener.dismissAddRelatedObjectPopup(window, close.dataset.pk, close.dataset.name);
        });
    }
}
