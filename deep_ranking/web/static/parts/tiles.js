/** How large thumbnails are; the browser remembers it. */

const NAME = "deep-ranking-tile";

/** Let a slider set the size of the pictures of some walls, in rem. */
export function tileSlider(input, walls) {
  const set = (size) => {
    for (const { list } of walls) size ? list.style.setProperty("--tile", `${size}rem`) : list.style.removeProperty("--tile");
    for (const wall of walls) wall.layout();
  };
  const kept = Number(localStorage.getItem(NAME)) || null;
  if (kept) set(kept);
  input.value = kept ?? parseFloat(getComputedStyle(walls[0].list).getPropertyValue("--tile"));
  input.addEventListener("input", () => {
    localStorage.setItem(NAME, input.value);
    set(Number(input.value));
  });
}
