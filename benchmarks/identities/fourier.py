"""Fourier transforms: pairs, transforms of real inputs, linearity."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.scipy import fft as jsf

from .row import Identity, N, normal

X, Z = normal(N, N), normal(N, N, dtype="complex64")
W = normal(N, N, dtype="complex64")
FOURIER = np.exp(-2j * np.pi * np.outer(np.arange(N), np.arange(N)) / N).astype(np.complex64)

ROWS = (
    Identity("transform_and_back", lambda z: jnp.fft.ifft(jnp.fft.fft(z)), lambda z: z, (Z,), True),
    Identity("back_and_transform", lambda z: jnp.fft.fft(jnp.fft.ifft(z)), lambda z: z, (Z,)),
    Identity(
        "real_transform_and_back", lambda x: jnp.fft.irfft(jnp.fft.rfft(x)), lambda x: x, (X,)
    ),
    Identity(
        "plane_transform_and_back", lambda z: jnp.fft.ifft2(jnp.fft.fft2(z)), lambda z: z, (Z,)
    ),
    Identity(
        "half_of_real_spectrum",
        lambda x: jnp.abs(jnp.fft.fft(x)[:, : N // 2 + 1]),
        lambda x: jnp.abs(jnp.fft.rfft(x)),
        (X,),
        True,
    ),
    Identity(
        "real_part_of_pair", lambda x: jnp.real(jnp.fft.ifft(jnp.fft.fft(x))), lambda x: x, (X,)
    ),
    Identity(
        "sum_of_transforms",
        lambda z, w: jnp.fft.fft(z) + jnp.fft.fft(w),
        lambda z, w: jnp.fft.fft(z + w),
        (Z, W),
    ),
    Identity(
        "scaled_transform_pair",
        lambda z: jnp.fft.ifft(2.0 * jnp.fft.fft(z)),
        lambda z: 2.0 * z,
        (Z,),
    ),
    Identity(
        "two_filters",
        lambda z, h, g: jnp.fft.ifft(jnp.fft.fft(jnp.fft.ifft(jnp.fft.fft(z) * h)) * g),
        lambda z, h, g: jnp.fft.ifft(jnp.fft.fft(z) * (h * g)),
        (Z, normal(N, dtype="complex64"), normal(N, dtype="complex64")),
    ),
    Identity(
        "real_filter",
        lambda x, k: jnp.real(jnp.fft.ifft(jnp.fft.fft(x) * jnp.fft.fft(k))),
        lambda x, k: jnp.fft.irfft(jnp.fft.rfft(x) * jnp.fft.rfft(k), N),
        (X, normal(N)),
    ),
    Identity("shift_and_back", lambda z: jnp.fft.ifftshift(jnp.fft.fftshift(z)), lambda z: z, (Z,)),
    Identity(
        "spectrum_energy",
        lambda x: jnp.sum(jnp.abs(jnp.fft.fft(x)) ** 2) / N,
        lambda x: jnp.sum(x * x),
        (X,),
    ),
    Identity("mean_frequency", lambda z: jnp.fft.fft(z)[:, 0], lambda z: jnp.sum(z, 1), (Z,)),
    Identity("sum_of_inverse", lambda z: jnp.sum(jnp.fft.ifft(z), 1), lambda z: z[:, 0], (Z,)),
    Identity(
        "transform_of_conjugate",
        lambda z: jnp.conj(jnp.fft.fft(jnp.conj(z))) / N,
        lambda z: jnp.fft.ifft(z),
        (Z,),
    ),
    Identity(
        "transformed_twice",
        lambda z: jnp.fft.fft(jnp.fft.fft(z)),
        lambda z: N * jnp.roll(z[:, ::-1], 1, 1),
        (Z,),
    ),
    Identity(
        "inverse_of_conjugated_transform",
        lambda z: jnp.fft.ifft(jnp.conj(jnp.fft.fft(z))),
        lambda z: jnp.conj(jnp.roll(z[:, ::-1], 1, 1)),
        (Z,),
    ),
    Identity(
        "plane_transform_of_outer_product",
        lambda u, v: jnp.fft.fft2(u[:, None] * v[None]),
        lambda u, v: jnp.fft.fft(u)[:, None] * jnp.fft.fft(v)[None],
        (normal(N, dtype="complex64"), normal(N, dtype="complex64")),
    ),
    Identity(
        "rows_back_after_plane_transform",
        lambda z: jnp.fft.ifft(jnp.fft.fft2(z), axis=0),
        lambda z: jnp.fft.fft(z, axis=1),
        (Z,),
    ),
    Identity(
        "modulus_of_transform_of_rolled",
        lambda z: jnp.abs(jnp.fft.fft(jnp.roll(z, 3, 1))),
        lambda z: jnp.abs(jnp.fft.fft(z)),
        (Z,),
    ),
    Identity(
        "weighted_transforms",
        lambda x, y: 2.0 * jnp.fft.rfft(x) + 3.0 * jnp.fft.rfft(y),
        lambda x, y: jnp.fft.rfft(2.0 * x + 3.0 * y),
        (X, normal(N, N)),
    ),
    Identity(
        "product_with_fourier_matrix",
        lambda x: FOURIER @ x,
        lambda x: jnp.fft.fft(x, axis=0),
        (normal(N, 64, dtype="complex64"),),
        note="the matrix is a constant of the program",
    ),
    Identity(
        "vector_times_inverse_fourier_matrix",
        lambda x: x @ (FOURIER.conj() / N),
        jnp.fft.ifft,
        (normal(N, dtype="complex64"),),
        note="the matrix is a constant of the program",
    ),
    Identity(
        "plane_back_after_each_dimension",
        lambda x: jnp.fft.ifft2(jnp.fft.fft(jnp.fft.fft(x, axis=0), axis=1)),
        lambda x: x,
        (normal(N, N, dtype="complex64"),),
    ),
    Identity(
        "product_with_computed_fourier_matrix",
        lambda x: jnp.exp(-2j * jnp.pi / N * jnp.outer(jnp.arange(N), jnp.arange(N))) @ x,
        lambda x: jnp.fft.fft(x, axis=0),
        (normal(N, 64, dtype="complex64"),),
    ),
    Identity("cosine_transform_and_back", lambda x: jsf.idct(jsf.dct(x)), lambda x: x, (X,)),
    Identity(
        "orthonormal_cosine_transform_after_its_inverse",
        lambda x: jsf.dct(jsf.idct(x, norm="ortho"), norm="ortho"),
        lambda x: x,
        (X,),
    ),
    Identity(
        "shifted_by_phases",
        lambda z: jnp.fft.ifft(jnp.fft.fft(z) * jnp.exp(-6j * np.pi / N * jnp.arange(N))),
        lambda z: jnp.roll(z, 3, 1),
        (Z,),
    ),
    Identity(
        "transform_of_repeated_column",
        lambda x: jnp.fft.fft(jnp.broadcast_to(x[:, :1], (N, N))),
        lambda x: jnp.pad(N * x[:, :1], ((0, 0), (0, N - 1))),
        (Z,),
        numerics="finite",
    ),
)
