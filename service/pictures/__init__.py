"""The studio: pure functions between arrays and pixels (curves, weight tiles, digit images).

May import numpy, Pillow, matplotlib, the standard library and `service.domain.errors`.
Never touches a file, the network, a clock or another room; matplotlib is loaded by the first curve.
"""
