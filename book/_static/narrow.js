// On a narrow screen a wide equation is broken into lines, and what is still too wide, like a wide table, is set
// smaller. Only what is then wider than the page scrolls sideways, and can be reached by keyboard.

const SMALLEST = 0.55; // of the usual size
const ENOUGH = 0.85; // rather a little smaller than broken into more lines
const TOKENS = /\\(?:left|right)(?![a-zA-Z])\s*\\?.|\\[a-zA-Z]+|\\[^a-zA-Z]|&&|\s+|[^\\&\s]|&/g;
const OPENS = /^(?:[{([]|\\begin$|\\left(?![a-zA-Z])|\\\{)/;
const CLOSES = /^(?:[})\]]|\\end$|\\right(?![a-zA-Z])|\\\})/;
const ROW = /^(?:\\q?quad|\\\\|&&)$/;
const RELATION =
  /^(?:[=<>]|\\(?:leq?|geq?|approx|propto|sim|leftarrow|stackrel|overset|iff|implies|Rightarrow|Long\w*rightarrow))$/;
const SIGN = /^(?:[+-]|\\text)$/; // or words
const SPACE = /^(?:\\[;,:! ]|\s+)$/;
const ALIGNED = /^\s*(?:\\begin\{split\})?\s*\\begin\{aligned\}([^]*)\\end\{aligned\}([^]*?)(?:\\end\{split\})?\s*$/;
const NUMBER_OF_A_ROW = /&&\s*(\(\d+\))/g;

/**
 * Break an equation into lines.
 *
 * Level 0 breaks at rows and wide spaces, 1 also before relations but the first, 2 before all, 3 also before signs and
 * words.
 */
function linesOf(tex, level) {
  const aligned = ALIGNED.exec(tex);
  const source = aligned ? (aligned[1] + aligned[2]).replace(NUMBER_OF_A_ROW, "\\;\\; $1") : tex;
  const lines = [""];
  let depth = 0;
  let relations = 0;
  let before = "";
  for (const token of source.match(TOKENS)) {
    if (CLOSES.test(token)) depth -= 1;
    if (depth === 0 && ROW.test(token)) {
      lines.push("");
      relations = 0;
      before = "";
    } else if (depth > 0 || token !== "&") {
      const relation = depth === 0 && RELATION.test(token);
      const sign = depth === 0 && SIGN.test(token);
      const second = before && !RELATION.test(before) && !/^[\^_]$/.test(before); // there is something to its left
      if (second && (relation ? level >= (relations ? 1 : 2) : sign && level >= 3)) lines.push("\\quad ");
      if (relation && !before) lines[lines.length - 1] += "\\quad ";
      if (relation) relations += 1;
      lines[lines.length - 1] += token;
      if (!SPACE.test(token)) before = token;
    }
    if (OPENS.test(token)) depth += 1;
  }
  return lines.map((line) => line.trim()).filter((line) => line && line !== "\\quad");
}

/** Typeset TeX as large as it would be at a place. */
function draw(tex, place) {
  return MathJax.tex2svgPromise(tex, MathJax.getMetricsFor(place, true));
}

/** Set an equation in as few lines as fit, and smaller if even many do not. */
async function fitEquation(tex, place) {
  const shown = () => place.querySelector("mjx-container");
  const width = place.clientWidth;
  const asWritten = !place.dataset.width;
  if (!width || place.dataset.width === String(width)) return; // folded away, or done
  if (asWritten && shown().scrollWidth <= shown().clientWidth) return;
  place.dataset.width = width;
  let best = { share: 0 };
  for (const level of [null, 0, 1, 2, 3]) {
    const lines = level === null ? [tex] : linesOf(tex, level);
    if (level !== null && lines.length === 1) continue;
    const drawn = await draw(level === null ? tex : `\\begin{aligned}&${lines.join("\\\\&")}\\end{aligned}`, place);
    shown().replaceWith(drawn);
    const share = drawn.clientWidth / drawn.scrollWidth;
    if (share > best.share) best = { drawn, share };
    if (share >= ENOUGH) break;
  }
  shown().replaceWith(best.drawn);
  shrink(best.drawn, best.drawn);
}

/** Set something smaller until it fits into its box. */
function shrink(content, box) {
  content.style.fontSize = "";
  const size = parseFloat(getComputedStyle(content).fontSize);
  for (let share = 0.97; share >= SMALLEST && box.scrollWidth > box.clientWidth; share -= 0.03) {
    content.style.fontSize = `${size * share}px`;
  }
}

/** What scrolls sideways must be reachable by keyboard. The theme sees to code and tables, when the window changes. */
function markWide(formula) {
  if (formula.scrollWidth > formula.clientWidth) {
    formula.tabIndex = 0;
  } else {
    formula.removeAttribute("tabindex");
  }
}

let equations; // each with its TeX: what stands in the page may be one that was broken
let fitting = Promise.resolve(); // one after the other: a window that is dragged changes often

async function fit() {
  for (const box of document.querySelectorAll(".bd-article:has(.cell) .pst-scrollable-table-container")) {
    shrink(box.querySelector("table"), box);
  }
  if (!window.MathJax?.startup) return; // a page without formulas
  await MathJax.startup.promise;
  equations ??= [...MathJax.startup.document.math]
    .filter((each) => each.display && each.typesetRoot.parentElement.matches("div.math"))
    .map((each) => [each.math, each.typesetRoot.parentElement]);
  for (const [tex, place] of equations) await fitEquation(tex, place);
  document.querySelectorAll('mjx-container[display="true"]').forEach(markWide);
}

for (const change of ["load", "resize"]) {
  window.addEventListener(change, () => {
    fitting = fitting.then(fit);
  });
}
// What was folded had no width before.
document.addEventListener("toggle", () => window.dispatchEvent(new Event("resize")), true);
