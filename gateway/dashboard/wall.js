// For a screen on the wall: all of it, and it does not fall asleep.

let lock = null;

export function offerFullScreen(button) {
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener("click", async () => {
    if (document.fullscreenElement === null) {
      await document.documentElement.requestFullscreen();
      // Browsers refuse it on a low battery, and where the page came without https.
      lock = await navigator.wakeLock?.request("screen").catch(() => null);
    } else {
      await document.exitFullscreen();
    }
  });
  document.addEventListener("fullscreenchange", () => {
    const full = document.fullscreenElement !== null;
    button.textContent = full ? "Leave full screen" : "Full screen";
    if (!full) {
      lock?.release();
      lock = null;
    }
  });
}
