"""Write every diagram, and the colours that they have in the book."""

from tools.diagrams import STATIC, files

for path, text in files().items():
    (STATIC / path).parent.mkdir(exist_ok=True)
    (STATIC / path).write_text(text, encoding="utf-8")
