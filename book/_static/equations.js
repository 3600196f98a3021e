// Displayed equations and printed tables on narrow screens: first broken into lines, then set smaller, and only what
// is then still too wide scrolls sideways.

const SMALLEST = 0.6; // of the size of the text around it
const BREAKS = [/^(\\quad|\\qquad|\\\\|&&)$/, /^(=|<|>|\\(le|leq|ge|geq|approx|propto|leftarrow|stackrel|overset|iff|implies|Rightarrow|Longrightarrow|Longleftrightarrow))$/, /^[+-]$/];
const OPENS = /^([{([]|\\begin|\\left|\\\{)$/;
const CLOSES = /^([})\]]|\\end|\\right|\\\})$/;
const TOKENS = /\\left\s*\\?.|\\right\s*\\?.|\\[a-zA-Z]+|\\[^a-zA-Z]|&&|[^\\&]|&/gs;

// Split TeX into the lines of a narrow column: at wide spaces and rows, then before relations, then before signs.
function linesOf(tex, level) {
  const rows = /^\s*\\begin\{aligned\}([^]*)\\end\{aligned\}([^]*)$/.exec(tex);
  const lines = [""];
  let depth = 0;
  let before = "";
  for (const token of (rows ? rows[1] + rows[2] : tex).match(TOKENS)) {
    const name = token.replace(/^(\\left|\\right).*/s, "$1");
    if (CLOSES.test(name)) depth -= 1;
    const kind = depth === 0 ? BREAKS.findIndex((each, place) => place <= level && each.test(token)) : -1;
    const line = lines.at(-1).trim();
    if (kind === 0) {
      lines.push("");
    } else if (kind > 0 && /[=<>+\-]|\\[lg]e|\\approx|\\propto|\\[a-zA-Z]*arrow|\\stackrel/.test(line) && !startsHere(before)) {
      lines.push(`\\quad ${token}`);
    } else if (token !== "&" || depth > 0) {
      lines[lines.length - 1] += token;
    }
    if (OPENS.test(name)) depth += 1;
    if (token.trim() && !/^\\[;,:! ]$/.test(token)) before = token;
  }
  return lines.filter((each) => each.trim());
}

// Whether what follows is no second operand, so that a sign belongs to it.
function startsHere(token) {
  return token === "" || BREAKS.some((each, place) => place < 2 && each.test(token));
}
