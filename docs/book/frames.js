// A slider under a figure shows the figure of each value of a knob. Without this file the page has the figure alone.
"use strict";

for (const box of document.querySelectorAll(".frames")) {
  const image = document.querySelector(`img[src$="/${box.dataset.figure}.png"]`);
  const [slider, output] = [box.querySelector("input"), box.querySelector("output")];
  const frames = JSON.parse(box.dataset.frames);
  if (!image) continue;

  const show = () => {
    const frame = frames[slider.value];
    image.src = frame.file;
    output.textContent = frame.text;
    slider.setAttribute("aria-valuetext", frame.text);
  };
  slider.addEventListener("input", show);
  slider.addEventListener("focus", () => frames.forEach((frame) => (new Image().src = frame.file)), { once: true });
  box.hidden = false;
  output.textContent = frames[slider.value].text;
  slider.setAttribute("aria-valuetext", output.textContent);
}
