// Creates an icon of the sprite, and changes its shape.

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  svg.firstChild.setAttribute("href", `#icon-${name}`);
  return svg;
}

export function changeIcon(element, name) {
  element.querySelector("use")?.setAttribute("href", `#icon-${name}`);
}
