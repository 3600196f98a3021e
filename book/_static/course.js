// Small repairs in the browser, where the pages as built can not know better.

// From a disk a page may not read another one: search without the excerpts, which would be errors in the console.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// What scrolls sideways must be reachable by keyboard. The theme sees to code and tables, when the window changes.
function markWideFormulas() {
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    if (formula.scrollWidth > formula.clientWidth) {
      formula.tabIndex = 0;
    } else {
      formula.removeAttribute("tabindex");
    }
  }
}

window.addEventListener("resize", markWideFormulas);
window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(markWideFormulas));
// Cells that were folded had no width before.
document.addEventListener("toggle", () => window.dispatchEvent(new Event("resize")), true);
