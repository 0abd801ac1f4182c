// All text that can be seen and whose contrast is below WCAG's AA: 4.5 to 1, or 3 to 1 where it is large.
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixel = (...colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // Behind text there are the colours of all around it; a bar of a list reaches under some of it, so it counts too.
  const grounds = (element) => {
    const layers = [[]];
    for (let around = element; around !== null; around = around.parentElement) {
      const style = getComputedStyle(around);
      const bar = /gradient\([^#]*?(rgb\([^)]*\))/.exec(style.backgroundImage)?.[1];
      const before = layers.splice(0);
      for (const layer of before) {
        layers.push([style.backgroundColor, ...layer]);
        if (bar) layers.push([style.backgroundColor, bar, ...layer]);
      }
    }
    return layers;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest("script, noscript, .skip")) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    for (const layers of grounds(element)) {
      const [dark, light] = [luminance(pixel(...layers)), luminance(pixel(...layers, style.color))].sort((a, b) => a - b);
      const contrast = (light + 0.05) / (dark + 0.05);
      if (contrast < needed) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
  }
  return [...new Set(found)];
}
