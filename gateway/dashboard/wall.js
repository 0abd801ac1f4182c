// For a screen on the wall: full screen, and kept awake.

let lock = null;

export function offerFullScreen(button) {
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener("click", async () => {
    if (document.fullscreenElement === null) {
      await document.documentElement.requestFullscreen();
      // Browsers refuse this on a low battery, and on a page that came without https.
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
