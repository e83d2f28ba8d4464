"""Augmentation: training images are deformed differently each time they are used.

Deformations are affine and elastic (Simard et al., 2003). Images are the columns of a matrix here,
and every IMAGES_PER_DEFORMATION of them share one deformation. Whole lines of memory can then be
gathered, which is four times as fast, and an epoch still has thousands of deformations.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlp_core.arrays import Indices, Matrix, Pixels, aligned_empty

IMAGES_PER_DEFORMATION = 32


@dataclass(frozen=True)
class Augmentation:
    """How far images are deformed; all amounts but the elastic displacement are drawn uniformly."""

    rotation: float = 0.0  # degrees, at most, either way
    scale: float = 0.0  # each axis by a factor from exp(-scale) to exp(scale)
    shear: float = 0.0  # pixels down for each pixel to the right, at most, either way
    translation: float = 0.0  # pixels, at most, either way on each axis
    elastic: float = 0.0  # pixels: standard deviation of a smooth random displacement, each axis
    smoothness: float = 4.5  # pixels: standard deviation of the Gaussian that smooths it


class Corners(NamedTuple):
    """The points that the pixels of deformed images come from; each array (deformations, n_in)."""

    upper_left: Indices  # where the upper left of the four pixels around a point is in the frame
    down: Matrix  # the distance of the point from that pixel, in [0, 1)
    right: Matrix  # the same to the right


class RandomDeformation:
    """Draws the points of the original images that the pixels of deformed images come from."""

    def __init__(self, augmentation: Augmentation, shape: tuple[int, int], order: Indices) -> None:
        """Prepare for images of a shape (rows, columns); `order` lists the pixel of each input."""
        self._augmentation = augmentation
        self._shape = shape
        self._order = order
        self._end = np.array(shape, np.float32).reshape(2, 1)
        self._centre = (self._end - 1) / 2
        self._grid = np.indices(shape, np.float32).reshape(2, -1)[:, order] - self._centre
        self._smoothers = tuple(_smoother(size, augmentation.smoothness) for size in shape)

    def draw_points(self, count: int, rng: np.random.Generator) -> Matrix:
        """Draw `count` deformations: points (count, 2, n_in), at most a pixel outside the image."""
        points = self._draw_affine(count, rng)
        points += self.draw_elastic(count, rng)
        points += self._centre
        np.clip(points, -1, self._end, out=points)
        return points

    def _draw_affine(self, count: int, rng: np.random.Generator) -> Matrix:
        """Points around the centre: rotated, sheared and scaled, then translated."""
        most = self._augmentation
        angle, shear, scale_y, scale_x, y, x = rng.uniform(-1, 1, (6, count))
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

    def draw_elastic(self, count: int, rng: np.random.Generator) -> Matrix:
        """Displacements (count, 2, n_in): noise, smoothed by a Gaussian along both axes."""
        noise = rng.standard_normal((count, 2, *self._shape), dtype=np.float32)
        down, right = self._smoothers
        smooth: Matrix = np.matmul(np.matmul(down, noise), right.T)
        smooth *= self._augmentation.elastic
        return smooth.reshape(count, 2, -1)[:, :, self._order]


class Deformer:
    """Turns images into the deformed inputs of a batch, in buffers that are reused."""

    def __init__(
        self, augmentation: Augmentation, shape: tuple[int, ...], order: Indices, rows: int
    ) -> None:
        """Prepare for batches of up to `rows` images.

        Args:
            augmentation: how far to deform.
            shape: rows and columns of an image, and perhaps its channels.
            order: which number of an image each input is.
            rows: the largest size of a batch.

        """
        height, width, self._channels = (*shape, 1)[:3]
        pixels, self._channel = np.divmod(order, self._channels)  # colours of a pixel move together
        self._deformation = RandomDeformation(augmentation, (height, width), pixels)
        # One black pixel before the images and two after them keep every corner inside the frame.
        self._frame = np.zeros((height + 3, width + 3, self._channels, rows), np.float32)
        self._X = aligned_empty(len(order), rows)
        self._corner = aligned_empty(len(order), IMAGES_PER_DEFORMATION)

    def fill_inputs(self, images: Pixels, rng: np.random.Generator) -> Matrix:
        """Fill the buffer with deformed images; return it as X (rows, n_in), scaled to [0, 1]."""
        rows = len(images)
        inside = self._frame[1:-2, 1:-2, :, :rows]
        np.copyto(inside, images.T.reshape(inside.shape))
        starts = range(0, rows, IMAGES_PER_DEFORMATION)
        corners = self._corners(self._deformation.draw_points(len(starts), rng))
        for k, start in enumerate(starts):
            columns = slice(start, min(start + IMAGES_PER_DEFORMATION, rows))
            self._interpolate(columns, Corners(*(each[k] for each in corners)))
        X = self._X[:, :rows]
        X *= 1 / 255
        return X.T

    def _corners(self, points: Matrix) -> Corners:
        """Return the corners around `points`, which are overwritten."""
        corner = np.floor(points)
        points -= corner
        down, right = (corner[:, axis].astype(np.intp) + 1 for axis in (0, 1))
        upper_left = (down * self._frame.shape[1] + right) * self._channels + self._channel
        return Corners(upper_left, points[:, 0], points[:, 1])

    def _interpolate(self, columns: slice, corners: Corners) -> None:
        """Fill the images of some columns, which share a deformation, by bilinear interpolation."""
        frame = np.ascontiguousarray(self._frame.reshape(-1, self._frame.shape[3])[:, columns])
        out = self._X[:, columns]
        corner = self._corner[:, : out.shape[1]]
        after = self._channels
        below = self._frame.shape[1] * after
        upper_left, down, right = corners
        up, left = 1 - down, 1 - right
        shares = (
            (0, up * left),
            (after, up * right),
            (below, down * left),
            (below + after, down * right),
        )
        out.fill(0)
        for step, share in shares:
            np.take(frame, upper_left + step, axis=0, out=corner, mode="clip")
            corner *= share[:, np.newaxis]
            out += corner


def _smoother(size: int, sigma: float) -> Matrix:
    """Return a matrix (size, size) that blurs a column and keeps white noise at variance 1."""
    distances = np.arange(size)[:, np.newaxis] - np.arange(size)
    weights = np.exp(-(distances**2) / (2 * sigma**2))
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return weights.astype(np.float32)
