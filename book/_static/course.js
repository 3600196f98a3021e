// Small repairs in the browser, where the pages as built cannot know better.

// From a disk a page may not read another one: search without the excerpts, which would be errors in the console.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// On a phone code is folded, so that the text and the pictures stay together; the stub of an exercise stays open.
const PHONE = matchMedia("(max-width: 499.98px)");
const FOLDED = "hide above-input admonition phone"; // looks like the code of plots, which is folded everywhere

function foldCode() {
  if (PHONE.matches) {
    for (const code of document.querySelectorAll(".bd-article .cell:not(.tag_setup, .tag_exercise) > .cell_input")) {
      const fold = document.createElement("details");
      fold.className = FOLDED;
      fold.innerHTML = `<summary><p class="collapsed admonition-title">Show the code</p>
        <p class="expanded admonition-title">Hide the code</p></summary>`;
      code.replaceWith(fold);
      fold.append(code);
    }
  } else {
    for (const fold of document.querySelectorAll("details.phone")) {
      fold.replaceWith(fold.lastElementChild);
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  if (PHONE.matches) {
    foldCode();
    document.getElementById(location.hash.slice(1))?.scrollIntoView(); // what stands above it is shorter now
  }
});
PHONE.addEventListener("change", foldCode);
