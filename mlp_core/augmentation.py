"""Images bent a little and differently each time: a network never sees the same one twice.

Affine and elastic deformations (Simard et al., 2003). Images lie as columns here, and GROUP of them
are bent alike: so whole lines of memory are gathered, which makes it four times as fast, and an
epoch still has thousands of deformations.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlp_core.arrays import Matrix, Pixels
from mlp_core.fast.buffers import buffer
from mlp_core.fast.data_layout import Order

GROUP = 32


@dataclass(frozen=True)
class Augmentation:
    """How far images are deformed; all evenly distributed but the elastic displacement."""

    rotation: float = 0.0  # degrees, at most, either way
    scale: float = 0.0  # either axis by a factor from exp(-scale) to exp(scale)
    shear: float = 0.0  # pixels down for each pixel right, at most, either way
    translation: float = 0.0  # pixels, at most, either way on each axis
    elastic: float = 0.0  # pixels: standard deviation of each axis of a smooth random displacement
    smoothness: float = 4.5  # pixels: how far a displacement of one pixel takes others along


class Corners(NamedTuple):
    """For the pixels of deformed images, where they come from."""

    upper_left: Order  # (groups, n_in), of the four pixels around it, in the frame
    down: Matrix  # (groups, n_in), in [0, 1), from there
    right: Matrix


class Deformer:
    """Makes the inputs of a batch: deformed images, in buffers of its own."""

    def __init__(
        self, augmentation: Augmentation, shape: tuple[int, int], order: Order, rows: int
    ) -> None:
        """Prepare for batches of up to `rows` images of a shape.

        Args:
            augmentation: how far to deform.
            shape: rows and columns of an image.
            order: which of its pixels each input is.
            rows: of a batch, at most.

        """
        height, width = shape
        self._augmentation = augmentation
        self._shape = shape
        self._order = order
        self._end = np.array([[height], [width]], np.float32)
        self._centre = (self._end - 1) / 2
        grid = np.indices(shape, np.float32).reshape(2, -1)[:, order]
        self._grid = grid - self._centre
        # One pixel of black before the images and two behind, so that no corner lies outside.
        self._frame = np.zeros((height + 3, width + 3, rows), np.float32)
        self._X = buffer(len(order), rows)
        self._corner = buffer(len(order), GROUP)
        self._smoothers = tuple(_smoother(size, augmentation.smoothness) for size in shape)

    def inputs(self, images: Pixels, rng: np.random.Generator) -> Matrix:
        """Deformed images (rows, n_in), scaled to [0, 1], in the given order of pixels."""
        rows = len(images)
        inside = self._frame[1:-2, 1:-2, :rows]
        np.copyto(inside, images.T.reshape(*self._shape, rows))
        starts = range(0, rows, GROUP)
        corners = self._corners(len(starts), rng)
        for group, start in enumerate(starts):
            columns = slice(start, min(start + GROUP, rows))
            self._gather(columns, Corners(*(each[group] for each in corners)))
        X = self._X[:, :rows]
        X *= 1 / 255
        return X.T

    def _gather(self, columns: slice, corners: Corners) -> None:
        """Fill some images by bilinear interpolation."""
        frame = np.ascontiguousarray(self._frame.reshape(-1, self._frame.shape[2])[:, columns])
        out = self._X[:, columns]
        corner = self._corner[:, : out.shape[1]]
        below = self._frame.shape[1]
        upper_left, down, right = corners
        up, left = 1 - down, 1 - right
        shares = ((0, up * left), (1, up * right), (below, down * left), (below + 1, down * right))
        out.fill(0)
        for step, share in shares:
            np.take(frame, upper_left + step, axis=0, out=corner, mode="clip")
            corner *= share[:, np.newaxis]
            out += corner

    def _corners(self, groups: int, rng: np.random.Generator) -> Corners:
        """Where the pixels of each group's images come from, by a deformation at random."""
        points = self._affine(groups, rng)
        points += self._elastic(groups, rng)
        points += self._centre
        np.clip(points, -1, self._end, out=points)
        corner = np.floor(points)
        points -= corner
        down, right = (corner[:, axis].astype(np.intp) + 1 for axis in (0, 1))
        return Corners(down * self._frame.shape[1] + right, points[:, 0], points[:, 1])

    def _affine(self, groups: int, rng: np.random.Generator) -> Matrix:
        """Points (groups, 2, n_in) around the centre: turned, sheared, scaled, then moved."""
        most = self._augmentation
        angle, shear, scale_y, scale_x, y, x = rng.uniform(-1, 1, (6, groups))
        angle *= math.radians(most.rotation)
        sine, cosine = np.sin(angle), np.cos(angle)
        factor_y, factor_x = np.exp(scale_y * most.scale), np.exp(scale_x * most.scale)
        rows = (
            (factor_y * cosine, -factor_y * sine),
            (factor_x * sine + shear * most.shear, factor_x * cosine),
        )
        matrices: Matrix = np.array(rows, np.float32).transpose(2, 0, 1)
        points: Matrix = np.matmul(matrices, self._grid)
        points += np.array((y, x), np.float32).T[:, :, np.newaxis] * most.translation
        return points

    def _elastic(self, groups: int, rng: np.random.Generator) -> Matrix:
        """Displacements (groups, 2, n_in): noise, smoothed by a Gaussian along both axes."""
        noise = rng.standard_normal((groups, 2, *self._shape), dtype=np.float32)
        down, right = self._smoothers
        smooth: Matrix = np.matmul(np.matmul(down, noise), right.T)
        smooth *= self._augmentation.elastic
        return smooth.reshape(groups, 2, -1)[:, :, self._order]


def _smoother(size: int, sigma: float) -> Matrix:
    """A matrix (size, size) that blurs a column, and leaves white noise its variance of 1."""
    distances = np.arange(size)[:, np.newaxis] - np.arange(size)
    weights = np.exp(-(distances**2) / (2 * sigma**2))
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return weights.astype(np.float32)
