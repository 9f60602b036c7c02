"""Real parts of inverse transforms as transforms of half a spectrum."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by, proposed
from jax import lax
from running import PREDICTED, normal, program_of

import saturax
from saturax.proposals.spectra import halve_spectra
from saturax.rules.rule import BITWISE

EVEN, ODD, PLANE = normal(3, 8), normal(3, 7), normal(6, 8)
COMPLEX = (normal(3, 8, seed=1) + 1j * normal(3, 8, seed=2)).astype(np.complex64)


def _filtered(x, c):
    """Any filter, real or complex, known or not."""
    return jnp.fft.ifft(jnp.fft.fft(x) * c).real


def _derivative(x):
    return jnp.fft.ifft(1j * jnp.fft.fftfreq(x.shape[-1]) * jnp.fft.fft(x)).real


def _smoothed(x):
    k = jnp.fft.fftfreq(x.shape[0])[:, None] ** 2 + jnp.fft.fftfreq(x.shape[1]) ** 2
    return jnp.fft.ifft2(jnp.exp(-k) * jnp.fft.fft2(x)).real


def _stream(x, mask):
    """The velocity of a vorticity: a quotient, a mask, and a product with i·k."""
    kx = jnp.fft.fftfreq(x.shape[0], 1 / x.shape[0])[:, None]
    ky = jnp.fft.fftfreq(x.shape[1], 1 / x.shape[1])[None]
    square = kx**2 + ky**2
    h = jnp.where(mask, jnp.fft.fft2(x), 0) / jnp.where(square == 0, 1, square)
    return jnp.fft.ifft2(1j * ky * h).real, jnp.fft.ifft2(-1j * kx * h - h).real


def _cross_power(x, y):
    fx, fy = jnp.fft.fft2(x), jnp.fft.fft2(y)
    return jnp.fft.ifft2(fx * fy / (1 + fx * fy)).real


CASES = {
    "real_filter": (_filtered, 1, (EVEN, normal(8))),
    "real_filter_of_each": (_filtered, 1, (EVEN, normal(3, 8, seed=3))),
    "complex_filter": (_filtered, 1, (EVEN, COMPLEX)),
    "odd_length": (_filtered, 1, (ODD, normal(7))),
    "derivative": (_derivative, 1, (EVEN,)),
    "derivative_of_odd_length": (_derivative, 1, (ODD,)),
    "plane": (_smoothed, 1, (PLANE,)),
    "velocity": (_stream, 2, (PLANE, PLANE > 0)),
    "cross_power": (_cross_power, 1, (PLANE, normal(6, 8, seed=4))),
    "scaled": (lambda x, s: jnp.fft.ifft(jnp.fft.fft(x) * s[:, None]).real, 1, (EVEN, normal(3))),
    "complex_data": (lambda x: jnp.fft.ifft(jnp.fft.fft(x)).real, 1, (COMPLEX,)),
    "other_lengths": (lambda x: jnp.fft.ifft(jnp.fft.fft2(x)).real, 1, (PLANE,)),
    "any_spectrum": (lambda x, s: jnp.fft.ifft2(x * s).real, 1, (COMPLEX, normal(8))),
    "difference": (lambda x, c: jnp.fft.ifft(jnp.fft.fft(x) - c).real, 1, (EVEN, COMPLEX)),
}


@pytest.mark.parametrize(("function", "count", "arguments"), CASES.values(), ids=CASES)
def test_both_sides_agree(function, count, arguments):
    assert len(proposed(halve_spectra, function, *arguments).pairs) == count


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda x: jnp.fft.ifft(jnp.fft.fft(x)).imag, (EVEN,)),
        (lambda x: jnp.fft.fft(jnp.fft.fft(x)).real, (EVEN,)),
    ],
    ids=["imaginary_part", "forward"],
)
def test_other_transforms_are_left_alone(function, arguments):
    assert not found_by(halve_spectra, program_of(function, *arguments).graph).pairs


def test_every_bit_is_kept():
    graph = program_of(_filtered, EVEN, normal(8)).graph
    assert not found_by(halve_spectra, graph, BITWISE).pairs


def test_a_loop_of_transforms_has_halves():
    def heat(u):
        k = jnp.fft.fftfreq(64)[:, None] ** 2 + jnp.fft.fftfreq(64) ** 2

        def step(u, _):
            return jnp.fft.ifft2(jnp.exp(-k) * jnp.fft.fft2(u)).real + 0.1 * u * (1 - u), None

        return lax.scan(step, u, None, length=20)[0]

    options = replace(PREDICTED, time_limit_s=30)  # the loop is searched three times
    text = saturax.optimize(heat, normal(64, 64), options=options).to_stablehlo()
    assert "type = RFFT" in text
    assert "type = IRFFT" in text
