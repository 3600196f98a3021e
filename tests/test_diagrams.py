"""The diagrams are what their script draws, legible, safe to show anywhere, and true of the package's networks."""

import importlib.util
import re
import sys
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from tools.diagrams import DRAWN, STATIC, files, hierarchy, network, rate, sight, strip
from tools.diagrams.grammar import COLOURS, WORDS, Drawing, style, width_of
from vqvae_course import metrics
from vqvae_course.causality import influence
from vqvae_course.pixelcnn import GatedPixelCNN, GatedPixelCNNConfig, PixelCNN, PixelCNNConfig
from vqvae_course.vqvae import VQVAE, VQVAEConfig
from vqvae_course.vqvae2 import VQVAE2, VQVAE2Config

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"
FILES = files()
NAMES = sorted(name for name in FILES if name.endswith(".svg"))
LOOKS = {f"{kind}-{name}" for kind in "fs" for name in COLOURS} | {f"w-{name}" for name in WORDS}
LOOKS |= {"tint", "half", "bold", "variable", "subscript", "ground"}

spec = importlib.util.spec_from_file_location("diagrams_in_the_book", ROOT / "book" / "_ext" / "diagrams.py")
in_the_book = importlib.util.module_from_spec(spec)
spec.loader.exec_module(in_the_book)


def parsed(name):
    return ElementTree.fromstring(FILES[name])


def box_of(text, size):
    """Return where a text stands, about: left, top, right, bottom."""
    marked = {"plain": "{}", "variable": "*{}*", "subscript": "~{}~"}
    pieces = [(text.text, "plain")] if text.text else [(each.text, each.get("class", "plain")) for each in text]
    width = width_of("".join(marked[kind].format(piece) for piece, kind in pieces), size, "bold" in text.get("class"))
    x, y = float(text.get("x")), float(text.get("y"))
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
    return left, y - 0.74 * size, left + width, y + 0.22 * size


def segments(svg):
    """Yield the straight pieces of lines and arrows."""
    for path in svg.iter(f"{SVG}path"):
        if re.fullmatch(r"M[-\d. L]+", path.get("d")):
            points = [tuple(map(float, point.split())) for point in path.get("d")[1:].split("L")]
            yield from pairwise(points)


def crosses(segment, box):
    """Return whether a piece of a line runs through a box: what each pair of edges leaves of it is not empty."""
    (ax, ay), (bx, by) = segment
    first, last = 0.0, 1.0
    for start, step, low, high in ((ax, bx - ax, box[0], box[2]), (ay, by - ay, box[1], box[3])):
        if step == 0:
            if not low < start < high:
                return False
            continue
        one, other = sorted(((low - start) / step, (high - start) / step))
        first, last = max(first, one), min(last, other)
    return first < last


def test_a_line_through_a_text_is_noticed():
    box = (10, 10, 30, 20)
    assert crosses(((0, 15), (40, 15)), box)
    assert crosses(((0, 0), (40, 30)), box)
    assert not crosses(((0, 9), (40, 9)), box)
    assert not crosses(((0, 15), (9, 15)), box)
    assert not crosses(((0, 12), (12, 0)), box)


def test_what_is_stored_is_what_the_script_draws():
    stored = {str(path.relative_to(STATIC)): path for path in (STATIC / "diagrams").iterdir()}
    assert set(stored) | {"diagrams.css"} == set(FILES)
    for name, text in FILES.items():
        assert (STATIC / name).read_text(encoding="utf-8") == text, f"{name}: run make diagrams"


@pytest.mark.parametrize("name", NAMES)
def test_a_diagram_is_described_and_holds_nothing_from_elsewhere(name):
    svg = parsed(name)
    assert svg.tag == f"{SVG}svg"
    assert len(svg.find(f"{SVG}title").text) > 5
    assert len(svg.find(f"{SVG}desc").text) > 60
    assert not {element.tag for element in svg.iter()} & {f"{SVG}{tag}" for tag in ("image", "use", "script", "a")}
    assert "href" not in FILES[name]
    assert "url(" not in FILES[name]
    assert not [element for element in svg.iter() if "id" in element.attrib]  # two may stand in one page


@pytest.mark.parametrize("name", NAMES)
def test_a_diagram_uses_the_colours_of_the_grammar_alone(name):
    for element in parsed(name).iter():
        if not element.tag.endswith(("svg", "style")) and not element.get("class", "").startswith("part"):
            assert set(element.get("class", "").split()) <= LOOKS
        assert element.get("fill", "none") == "none"
        assert not {"stroke", "style", "color"} & set(element.attrib)


@pytest.mark.parametrize("name", NAMES)
def test_texts_stand_inside_and_apart(name):
    svg = parsed(name)
    *_, width, height = map(float, svg.get("viewBox").split())
    boxes = {text: box_of(text, float(svg.get("font-size"))) for text in svg.iter(f"{SVG}text")}
    for text, (left, top, right, bottom) in boxes.items():
        assert left >= 0, "".join(text.itertext())
        assert top >= 0, "".join(text.itertext())
        assert right <= width, "".join(text.itertext())
        assert bottom <= height, "".join(text.itertext())
        for segment in segments(svg):
            assert not crosses(segment, boxes[text]), "".join(text.itertext())
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, ("".join(one.itertext()), "".join(other.itertext()))


@pytest.mark.parametrize("name", NAMES)
def test_letters_have_twelve_pixels_on_a_phone(name):
    svg = parsed(name)
    width = float(svg.get("viewBox").split()[2])
    assert float(svg.get("font-size")) * 358 / width >= 11.9  # 390 pixels without the page's margins


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def over(colour, ground, opacity):
    """Return what one sees of a colour that is not opaque."""
    mixed = [
        round(opacity * int(colour[i : i + 2], 16) + (1 - opacity) * int(ground[i : i + 2], 16)) for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{each:02x}" for each in mixed)


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_have_contrast_on_the_page_and_ink_on_every_tint(theme):
    paper = COLOURS["paper"][theme]
    for name, pair in WORDS.items():
        if name != "light":
            assert contrast(pair[theme], paper) >= 4.5, name
    for name, pair in COLOURS.items():
        tinted = over(pair[theme], paper, 0.2)
        assert contrast(COLOURS["ink"][theme], tinted) >= 4.5, name


def test_both_themes_colour_the_same_classes():
    light, dark = style(), style(dark=True, text=False)
    assert set(re.findall(r"\.[fsw]-\w+", light)) == set(re.findall(r"\.[fsw]-\w+", dark))


def test_every_page_has_a_strip_with_its_part_lit():
    assert set(strip.LIT) == {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}
    for page, lit in strip.LIT.items():
        shown = re.findall(r'class="part part-(\w+)( lit)?"', strip.strip(lit))
        assert [name for name, _ in shown] == list(dict.fromkeys(name for name, _ in shown))
        assert {name for name, _ in shown} == set(strip.PARTS)
        assert {name for name, on in shown if on} == set(lit), page


def test_a_strip_with_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="lit must name parts of the strip, got \\['tail'\\]"):
        strip.strip({"tail"})


def test_in_a_page_a_diagram_takes_the_colours_of_the_page():
    bare = in_the_book.embed(str(DRAWN["01_machine"]()), 'What "it" shows')
    assert ElementTree.fromstring(bare).get("aria-label") == 'What "it" shows'
    for own in ("<style", "<title", "<desc", "ground"):
        assert own not in bare


def test_in_the_book_an_image_becomes_a_figure_with_its_caption(tmp_path, monkeypatch):
    sphinx = pytest.importorskip("sphinx.application")
    pytest.importorskip("myst_parser")
    (tmp_path / "_static" / "diagrams").mkdir(parents=True)
    (tmp_path / "_static" / "diagrams" / "11_rate.svg").write_text(str(DRAWN["11_rate"]()), encoding="utf-8")
    (tmp_path / "conf.py").write_text("extensions = ['myst_parser', 'diagrams_in_the_book']\n", encoding="utf-8")
    image = "![Three solids of equal volume](_static/diagrams/11_rate.svg)"
    text = f"# A\n\nBefore.\n\n{image}\n\n*Equal, since $a$.*\n\nAfter."
    (tmp_path / "index.md").write_text(text, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "diagrams_in_the_book", in_the_book)
    out = tmp_path / "out"
    sphinx.Sphinx(tmp_path, tmp_path, out, out, "html", status=None, warningiserror=True).build()
    page = (out / "index.html").read_text(encoding="utf-8")
    figure = re.search(r"<figure.*?</figure>", page, re.S)[0]
    assert '<svg aria-label="Three solids of equal volume"' in figure
    assert "Equal, since" in re.search(r"<figcaption.*?</figcaption>", figure, re.S)[0]
    assert "<img" not in page


# What the drawings of notebooks 10 and 11 say a position sees, and what the package's networks feel.

WIDE = 16  # channels: among few, all may be off


def felt(net):
    """Return the places that the logits at ``sight.AT`` feel, for random weights and inputs."""
    rows, columns = sight.ROWS, sight.COLUMNS
    x = torch.randn(4, WIDE, rows, columns, generator=torch.Generator().manual_seed(0))
    felt = influence(net.logits_from, x)[sight.AT[0] * columns + sight.AT[1]]
    return {divmod(int(place), columns) for place in felt.nonzero().flatten()}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_masked_layers_see_what_is_drawn(layers):
    torch.manual_seed(0)
    net = PixelCNN(PixelCNNConfig(5, hidden=WIDE, layers=layers, first_kernel_size=3)).eval()
    assert felt(net) == sight.masked(layers)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_two_stacks_see_what_is_drawn(layers):
    torch.manual_seed(0)
    net = GatedPixelCNN(GatedPixelCNNConfig(5, hidden=WIDE, layers=layers, first_kernel_size=3)).eval()
    assert felt(net) == sight.horizontal(layers)


def test_the_vertical_stack_knows_nothing_of_its_row():
    for layers in (1, 2, 3):
        assert {i for i, _ in sight.vertical(layers)} == set(range(sight.AT[0] - layers, sight.AT[0]))


def test_the_shapes_of_the_network_are_those_that_run():
    model = VQVAE(VQVAEConfig(in_channels=1, hidden=64, residual_layers=0, num_codes=128, code_dim=32, downsample=4))
    shapes = []
    for part in (model.encoder, model.to_code_dim, model.decoder):
        for layer in part.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                layer.register_forward_hook(lambda _, __, out: shapes.append("×".join(map(str, out.shape[1:]))))
    model.eval()(torch.zeros(1, 1, 28, 28))
    drawn = [row[0] for row in network.ENCODER + network.DECODER]
    assert shapes == drawn
    for shape, _, side, channels, _ in network.ENCODER + network.QUANTIZER[1:] + network.DECODER[:-1]:
        assert shape == f"{channels}×{side}×{side}"


def test_the_maps_of_the_hierarchy_are_those_of_the_model():
    config = VQVAE2Config(num_codes=tuple(2**bits for bits in hierarchy.BITS))
    maps = VQVAE2(config).encode(torch.zeros(1, config.in_channels, 64, 64))
    assert [tuple(each.shape[1:]) for each in maps] == [(side, side) for side in hierarchy.SIDES]


def test_the_three_solids_have_the_same_bits():
    assert {metrics.latent_bits(rows, columns, 2**bits) for _, rows, columns, bits in rate.SOLIDS} == {512}


def test_a_text_is_split_into_variables_and_subscripts():
    d = Drawing("A title", "What it shows", 40)
    d.text(10, 20, "*z*~e~ = 0", anchor="start")
    assert 'font-size="16"' in str(d)
    assert (
        '<tspan class="variable">z</tspan><tspan class="subscript" dy="4">e</tspan><tspan dy="-4"> = 0</tspan>'
        in str(d)
    )
