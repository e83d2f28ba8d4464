"""Pens, paper and cameras: how a written digit becomes a picture that a user would send."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.strokes import Stroke

Mask = NDArray[np.float32]
"""(h, w), the share of each pixel that is inked, 0 to 1."""
Colour = tuple[float, float, float]
Chance = np.random.Generator
Size = tuple[int, int]

BLUE, BLACK, RED, GREEN = (38, 52, 130), (30, 30, 34), (178, 34, 40), (24, 110, 62)
PAPER, SLATE, BOARD = (236, 233, 224), (44, 50, 52), (226, 230, 232)
FINE = 3
"""The factor by which pens draw on a finer grid, unless their edges are to be hard."""


# --- Position -------------------------------------------------------------------------------------


def placed(
    strokes: Sequence[Stroke], chance: Chance, size: Size, low: float, high: float, tilt: float = 0
) -> list[Stroke]:
    """Place a digit at random in a picture, with a height of `low` to `high` of the picture's.

    Args:
        strokes: the digit.
        chance: random numbers.
        size: width and height of the picture.
        low: the least height.
        high: the greatest height.
        tilt: standard deviation of the camera's rotation in radians; 0 for a screen.

    """
    points = np.concatenate(strokes)
    turn, keystone = chance.normal(0, tilt, 2) if tilt else (0.0, 0.0)
    c, s = np.cos(turn), np.sin(turn)

    def seen(stroke: Stroke) -> Stroke:
        x, y = ((stroke - points.mean(axis=0)) / 100).T
        x, y = c * x - s * y, s * x + c * y
        return np.stack([x, y], axis=1) / (1 + keystone * y)[:, None]

    flat = [seen(stroke) for stroke in strokes]
    every = np.concatenate(flat)
    first, extent = every.min(axis=0), np.ptp(every, axis=0)
    scale = chance.uniform(low, high) * size[1] / extent[1]
    scale = min(scale, 0.84 * size[0] / extent[0])
    room = np.array(size) - scale * extent
    corner = room * chance.uniform(0.3, 0.7, 2)
    return [(stroke - first) * scale + corner for stroke in flat]


def height(strokes: Sequence[Stroke]) -> float:
    return float(np.ptp(np.concatenate(strokes)[:, 1]))


# --- Pens -----------------------------------------------------------------------------------------


def pen(strokes: Sequence[Stroke], size: Size, width: float, fine: int = FINE) -> Mask:
    """Draw with a round point of one width; `fine=1` gives hard pixels."""
    picture = Image.new("L", (size[0] * fine, size[1] * fine))
    draw = ImageDraw.Draw(picture)
    r = width * fine / 2
    for stroke in strokes:
        points = [(float(x), float(y)) for x, y in stroke * fine]
        draw.line(points, 255, max(1, round(2 * r)), "curve")
        for x, y in points[:: max(1, len(points) - 1)]:
            draw.ellipse((x - r, y - r, x + r, y + r), 255)
    return np.asarray(picture.reduce(fine), np.float32) / 255


def brush(
    strokes: Sequence[Stroke], size: Size, width: float, chance: Chance, tip: float = 0.3
) -> Mask:
    """Draw with a soft point: broad under pressure, `tip` of its width at the ends of a stroke."""
    picture = Image.new("L", (size[0] * FINE, size[1] * FINE))
    draw = ImageDraw.Draw(picture)
    for stroke in strokes:
        along = np.linspace(0, 1, 4 * len(stroke))
        dense = np.stack([np.interp(along, np.linspace(0, 1, len(stroke)), p) for p in stroke.T], 1)
        pressure = np.interp(along, np.linspace(0, 1, 6), chance.uniform(0.55, 1.25, 6))
        pressure *= np.minimum(1, tip + 6 * np.minimum(along, 1 - along))
        for (x, y), r in zip(dense * FINE, pressure * width * FINE / 2, strict=True):
            draw.ellipse((x - r, y - r, x + r, y + r), 255)
    return np.asarray(picture.reduce(FINE), np.float32) / 255


def nib(strokes: Sequence[Stroke], size: Size, width: float) -> Mask:
    """Draw with a broad nib at 40 degrees: strokes along it are thin, strokes across it broad."""
    edge = width * np.array([np.cos(0.7), -np.sin(0.7)])
    passes = [stroke + edge * part for part in np.linspace(-0.5, 0.5, 7) for stroke in strokes]
    return pen(passes, size, max(1.2, 0.3 * width))


def grained(mask: Mask, chance: Chance, hole: float, coarse: float) -> Mask:
    """Remove what chalk or pencil does not reach: a share of about `hole`, more at the edges."""
    grain = _smooth(chance.normal(0, 1, mask.shape).astype(np.float32), coarse)
    grain /= grain.std()
    soft = _smooth(mask, 1.5 * coarse)
    return mask * np.clip(2 * (soft + 0.45 * grain - hole), 0, 1)


def dots(mask: Mask) -> Mask:
    """Make each pixel fully inked or blank."""
    return (mask > 0.5).astype(np.float32)


# --- Paper and cameras ----------------------------------------------------------------------------


def coloured(mask: Mask, ink: Colour, paper: Colour | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image (h, w, 3) with levels from 0 to 255."""
    under = np.asarray(paper, np.float32)
    return under + mask[..., None] * (np.asarray(ink, np.float32) - under)


def ruled(size: Size, gap: float, chance: Chance) -> NDArray[np.float32]:
    """Return squared paper, photographed nearly straight."""
    turn = chance.normal(0, 0.03)
    y, x = np.mgrid[: size[1], : size[0]] + chance.uniform(0, gap)
    lines = [np.abs(np.mod(p, gap) - gap / 2) < 0.6 for p in (x + turn * y, y - turn * x)]
    return coloured((lines[0] | lines[1]).astype(np.float32), (156, 178, 202), PAPER)


def photographed(
    scene: NDArray[np.float32],
    chance: Chance,
    *,
    shade: float = 0.35,
    edge: float = 0.0,
    blur: float = 1.0,
    noise: float = 5.0,
    quality: int = 75,
) -> bytes:
    """Return a JPEG as taken in the light of a room.

    Args:
        scene: (h, w, 3).
        chance: random numbers.
        shade: share of the light that is missing in the darkest corner.
        edge: share of the light that a hand or a phone blocks, with a visible edge of the shadow.
        blur: standard deviation in pixels, from a shaking hand or the lens.
        noise: standard deviation in grey levels.
        quality: of the JPEG.

    """
    size = scene.shape[1], scene.shape[0]
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j].astype(np.float32)
    way = chance.uniform(0, 2 * np.pi)
    far = np.cos(way) * x + np.sin(way) * y
    light = 1 - shade * (0.5 + 0.35 * far) - 0.15 * shade * (x * x + y * y)
    if edge:
        across = np.cos(way + 0.6) * x + np.sin(way + 0.6) * y - chance.uniform(-0.4, 0.4)
        light *= 1 - edge / (1 + np.exp(-across * chance.uniform(8, 40)))
    seen = Image.fromarray((scene * light[..., None]).clip(0, 255).astype(np.uint8))
    blurred = np.asarray(seen.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    grain = chance.normal(0, noise, (*scene.shape[:2], 1))
    return encoded(blurred + grain, "JPEG", quality=quality)


def encoded(pixels: NDArray[np.floating], format: str = "PNG", **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, format, **options)
    return file.getvalue()


def _smooth(field: Mask, radius: float) -> Mask:
    # Pillow does not blur floats, so they are converted to bytes.
    low, high = float(field.min()), float(field.max()) + 1e-6
    steps = Image.fromarray(((field - low) * (255 / (high - low))).astype(np.uint8))
    blurred = np.asarray(steps.filter(ImageFilter.GaussianBlur(radius)), np.float32)
    return blurred * ((high - low) / 255) + low


# --- Styles ---------------------------------------------------------------------------------------


def mouse(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A web page's 280x280 canvas: few points, straight lines, hard pixels, white on black."""
    size = (280, 280)
    step = int(chance.integers(6, 12))
    path = placed(strokes, chance, size, 0.5, 0.85)
    jerky = [np.rint(np.vstack([s[::step], s[-1:]]) + chance.normal(0, 1, 2)) for s in path]
    return encoded(255 * pen(jerky, size, chance.uniform(9, 22), fine=1))


def paint(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A drawing program's pencil: a thin hard line on a large white page."""
    size = (480, 360)
    path = placed(strokes, chance, size, 0.3, 0.8)
    mask = dots(pen(path, size, chance.uniform(2, 5)))
    return encoded(coloured(mask, BLACK, (255, 255, 255)))


def finger(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A finger on a phone: broad, round and smooth."""
    size = (360, 480)
    path = placed(strokes, chance, size, 0.45, 0.8)
    mask = pen(path, size, chance.uniform(0.08, 0.15) * height(path))
    light = chance.random() < 0.5
    ink, paper = ((20, 20, 20), (250, 250, 250)) if light else ((240, 240, 240), (18, 18, 20))
    return encoded(coloured(mask, ink, paper))


def stylus(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A pressure-sensitive stylus on a tablet, coloured, on a transparent page."""
    size = (400, 400)
    path = placed(strokes, chance, size, 0.4, 0.8)
    mask = brush(path, size, chance.uniform(0.035, 0.06) * height(path), chance, tip=0.5)
    colour = (BLUE, BLACK, RED, GREEN)[chance.integers(4)]
    flat = np.broadcast_to(np.asarray(colour, np.float32), (*mask.shape, 3))
    return encoded(np.concatenate([flat, 255 * mask[..., None]], axis=2))


def ballpoint(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A thin pen on paper, photographed from varying distances."""
    size = (360, 300)
    path = placed(strokes, chance, size, 0.3, 0.75, tilt=0.06)
    mask = pen(path, size, max(2.0, chance.uniform(0.025, 0.045) * height(path)))
    scene = coloured(0.9 * mask, BLUE if chance.random() < 0.6 else BLACK, PAPER)
    return photographed(scene, chance, blur=chance.uniform(0.5, 1.3))


def pencil(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A soft pencil, grey and grainy, scanned."""
    size = (320, 400)
    path = placed(strokes, chance, size, 0.4, 0.8, tilt=0.02)
    mask = brush(path, size, chance.uniform(0.035, 0.06) * height(path), chance, tip=0.7)
    mask = grained(mask, chance, 0.2, 0.8) * chance.uniform(0.55, 0.85)
    page = coloured(mask, (62, 62, 66), (246, 245, 242))
    return encoded(page + chance.normal(0, 2.5, page.shape[:2])[..., None], "JPEG", quality=85)


def whiteboard(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A marker on a whiteboard, photographed from the side, with a reflection."""
    size = (360, 300)
    path = placed(strokes, chance, size, 0.35, 0.8, tilt=0.1)
    mask = pen(path, size, chance.uniform(0.045, 0.08) * height(path))
    ink = (BLUE, BLACK, RED, GREEN)[chance.integers(4)]
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    left, top = chance.uniform(-1, 1, 2)
    glare = 22 * np.exp(-((x - left) ** 2 + (y - top) ** 2) / 0.12)
    scene = coloured(0.88 * mask, ink, BOARD) + glare[..., None]
    return photographed(scene.astype(np.float32), chance, shade=0.3, noise=4)


def chalk(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """Chalk on a wiped blackboard, photographed."""
    size = (360, 300)
    path = placed(strokes, chance, size, 0.4, 0.8, tilt=0.06)
    mask = pen(path, size, chance.uniform(0.06, 0.1) * height(path))
    mask = grained(mask, chance, 0.35, 1.2)
    wiped = _smooth(chance.normal(0, 1, mask.shape).astype(np.float32), 12)
    board = SLATE + (8 * wiped / wiped.std())[..., None]
    return photographed(coloured(0.9 * mask, (232, 232, 224), board), chance, blur=1.2)


def ink_brush(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A brush with ink, of very uneven width, scanned."""
    size = (320, 400)
    path = placed(strokes, chance, size, 0.45, 0.8, tilt=0.03)
    mask = brush(path, size, chance.uniform(0.1, 0.16) * height(path), chance)
    page = coloured(mask, (26, 24, 28), (242, 236, 222)) + chance.normal(0, 3, (*mask.shape, 1))
    return encoded(page, "JPEG", quality=80)


def squared(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A fountain pen on squared paper, photographed; its lines are paler than the ink."""
    size = (330, 330)
    path = placed(strokes, chance, size, 0.3, 0.6, tilt=0.05)
    mask = nib(path, size, chance.uniform(0.05, 0.085) * height(path))
    paper = ruled(size, chance.uniform(0.22, 0.5) * height(path), chance)
    return photographed(coloured(mask, BLUE, paper), chance, blur=0.8)


def shadow(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A marker on paper, askew, half in the shadow of the hand that holds the camera."""
    size = (360, 300)
    path = placed(strokes, chance, size, 0.35, 0.75, tilt=0.14)
    mask = pen(path, size, chance.uniform(0.05, 0.1) * height(path))
    edge = chance.uniform(0.25, 0.5)
    return photographed(coloured(mask, BLACK, PAPER), chance, edge=edge, blur=1.2)


def thumbnail(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A crop of a scanned form, a few dozen pixels high."""
    size = (96, 96)
    path = placed(strokes, chance, size, 0.6, 0.9)
    mask = pen(path, size, chance.uniform(0.06, 0.12) * height(path))
    page = coloured(mask, (40, 40, 40), (250, 250, 250))[..., 0]
    small = int(chance.integers(24, 48))
    shrunk = Image.fromarray(page).resize((small, small), Image.Resampling.BOX)
    return encoded(np.asarray(shrunk) + chance.normal(0, 3, (small, small)))


def messenger(strokes: Sequence[Stroke], chance: Chance) -> bytes:
    """A dim, blurred photograph after a messaging app has compressed it."""
    size = (240, 240)
    path = placed(strokes, chance, size, 0.35, 0.75, tilt=0.1)
    mask = pen(path, size, chance.uniform(0.05, 0.09) * height(path))
    scene = 0.6 * coloured(0.85 * mask, BLACK, PAPER)
    blur = chance.uniform(1.5, 2.6)
    return photographed(scene, chance, shade=0.6, blur=blur, noise=8, quality=22)


STYLES: dict[str, Callable[[Sequence[Stroke], Chance], bytes]] = {
    "mouse on a canvas": mouse,
    "drawing program": paint,
    "finger on a telephone": finger,
    "stylus, transparent page": stylus,
    "ballpoint, photographed": ballpoint,
    "pencil, scanned": pencil,
    "whiteboard, photographed": whiteboard,
    "chalk, photographed": chalk,
    "brush, scanned": ink_brush,
    "squared paper, photographed": squared,
    "marker in shadow, photographed": shadow,
    "thumbnail": thumbnail,
    "squeezed photograph": messenger,
}
