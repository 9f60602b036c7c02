"""Convolutions that are products, sums of convolutions, folded scales, pooling."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from .row import BY_FILTERING, Identity, normal, positive, weights

IMAGE, CHANNELS = normal(1, 28, 28, 64), 64
KERNEL = normal(3, 3, CHANNELS, CHANNELS)
POINT = normal(1, 1, CHANNELS, 128)
SCALE, SHIFT = normal(CHANNELS), normal(CHANNELS)
NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")


def _conv(x: jax.Array, k: jax.Array, stride: int = 1, padding: str = "SAME", layout=NHWC):  # type: ignore[no-untyped-def]
    return lax.conv_general_dilated(
        x, k, (stride,) * (x.ndim - 2), padding, dimension_numbers=layout
    )


def _pooled(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _greatest(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _point(x: jax.Array, k: jax.Array) -> jax.Array:
    rows = x.reshape(-1, x.shape[-1]) @ k.reshape(k.shape[-2:])
    return rows.reshape(*x.shape[:-1], k.shape[-1])


ROWS = (
    Identity("one_by_one", lambda x, k: _conv(x, k), _point, (IMAGE, POINT), True),
    Identity(
        "one_by_one_strided",
        lambda x, k: _conv(x, k, 2),
        lambda x, k: _point(x[:, ::2, ::2], k),
        (IMAGE, POINT),
        True,
    ),
    Identity(
        "one_by_one_channels_first",
        lambda x, k: _conv(x, k, layout=NCHW),
        lambda x, k: jnp.einsum("oc,ncp->nop", k[:, :, 0, 0], x.reshape(1, 64, 784)).reshape(
            1, 128, 28, 28
        ),
        (normal(1, 64, 28, 28), normal(128, 64, 1, 1)),
    ),
    Identity(
        "one_by_one_line",
        lambda x, k: _conv(x, k, layout=("NWC", "WIO", "NWC")),
        lambda x, k: x @ k[0],
        (normal(4, 128, 64), normal(1, 64, 64)),
    ),
    Identity(
        "sum_of_convolutions",
        lambda x, k, m: _conv(x, k) + _conv(x, m),
        lambda x, k, m: _conv(x, k + m),
        (IMAGE, KERNEL, KERNEL),
        True,
        note=BY_FILTERING,
    ),
    Identity(
        "convolutions_of_two_images",
        lambda x, y, k: _conv(x, k) - _conv(y, k),
        lambda x, y, k: _conv(x - y, k),
        (IMAGE, IMAGE, KERNEL),
    ),
    Identity(
        "scale_and_shift",
        lambda x, k, s, t: _conv(x, k) * s + t,
        lambda x, k, s, t: _conv(x, k * s) + t,
        (IMAGE, KERNEL, SCALE, SHIFT),
        True,
        note=BY_FILTERING,
    ),
    Identity(
        "batch_norm_after_convolution",
        lambda x, k, m, v, g, b: (_conv(x, k) - m) / jnp.sqrt(v + 1e-5) * g + b,
        lambda x, k, m, v, g, b: (
            _conv(x, k * (g * lax.rsqrt(v + 1e-5))) + (b - m * (g * lax.rsqrt(v + 1e-5)))
        ),
        (IMAGE, KERNEL, SHIFT, positive(CHANNELS), SCALE, SHIFT),
    ),
    Identity(
        "scaled_image",
        lambda x, k: _conv(x / 255.0, k),
        lambda x, k: _conv(x, k / 255.0),
        (normal(1, 56, 56, 16), normal(1, 1, 16, 8)),
        note="the scale fits the smallest tensor",
    ),
    Identity(
        "convolutions_sharing_image",
        lambda x, k, m: (_conv(x, k), _conv(x, m)),
        lambda x, k, m: (_conv(x, k), _conv(x, m)),
        (IMAGE, KERNEL, KERNEL),
        True,
        note="two convolutions as one need a concatenation of the kernels: only where it is faster",
    ),
    Identity(
        "padding_before_convolution",
        lambda x, k: _conv(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), k, padding="VALID"),
        lambda x, k: _conv(x, k),
        (IMAGE, KERNEL),
    ),
    Identity(
        "convolution_of_whole_image",
        lambda x, k: _conv(x, k, padding="VALID"),
        lambda x, k: (x.reshape(8, -1) @ k.reshape(-1, 32)).reshape(8, 1, 1, 32),
        (normal(8, 7, 7, 32), normal(7, 7, 32, 32)),
    ),
    Identity(
        "two_one_by_ones",
        lambda x, k, m: _conv(_conv(x, k), m),
        lambda x, k, m: _point(x, (k[0, 0] @ m[0, 0])[None, None]),
        (normal(1, 28, 28, 64), normal(1, 1, 64, 256), normal(1, 1, 256, 64)),
    ),
    Identity(
        "slice_of_channels",
        lambda x, k: _conv(x, k)[..., :8],
        lambda x, k: _conv(x, k[..., :8]),
        (IMAGE, KERNEL),
    ),
    Identity(
        "subsampled",
        lambda x, k: _conv(x, k, padding="VALID")[:, ::2, ::2],
        lambda x, k: _conv(x, k, 2, "VALID"),
        (normal(1, 29, 29, 64), KERNEL),
    ),
    Identity(
        "constant_image",
        lambda k: _conv(jnp.ones((1, 28, 28, 16)), k, padding="VALID"),
        lambda k: jnp.broadcast_to(jnp.sum(k, (0, 1, 2)), (1, 26, 26, 16)),
        (normal(3, 3, 16, 16),),
    ),
    Identity(
        "identity_kernel",
        lambda x: _conv(x, jnp.eye(16)[None, None]),
        lambda x: x,
        (normal(1, 56, 56, 16),),
    ),
    Identity(
        "pooling_of_relu",
        lambda x: _greatest(jax.nn.relu(x)),
        lambda x: jax.nn.relu(_greatest(x)),
        (normal(1, 56, 56, 64),),
    ),
    Identity(
        "average_of_whole_image",
        lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 7, 7, 1), (1, 1, 1, 1), "VALID") / 49.0,
        lambda x: jnp.mean(x, (1, 2), keepdims=True),
        (normal(8, 7, 7, 64),),
    ),
    Identity(
        "disjoint_pooling",
        lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4.0,
        lambda x: jnp.mean(x.reshape(1, 28, 2, 28, 2, 64), (2, 4)),
        (normal(1, 56, 56, 64),),
    ),
    Identity(
        "trivial_pooling",
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 1, 1), (1, 2, 2, 1), "VALID"),
        lambda x: x[:, ::2, ::2],
        (normal(1, 56, 56, 64),),
    ),
    Identity(
        "grouped_as_products",
        lambda x, k: lax.conv_general_dilated(
            x, k, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=8
        ),
        lambda x, k: jnp.einsum(
            "nwgi,igo->nwgo", x.reshape(4, 128, 8, 8), k.reshape(8, 8, 8)
        ).reshape(4, 128, 64),
        (normal(4, 128, 64), weights(1, 8, 64)),
    ),
    Identity(
        "windows_of_windows",
        lambda x: _pooled(_pooled(x)),
        lambda x: jnp.sum(x.reshape(1, 7, 4, 7, 4, 64), (2, 4)),
        (IMAGE,),
    ),
    Identity(
        "kernel_with_zero_border",
        lambda x, k: _conv(x, jnp.pad(k, ((1, 1), (1, 1), (0, 0), (0, 0)))),
        lambda x, k: _conv(x, k),
        (IMAGE, KERNEL),
    ),
    Identity(
        "kernel_of_its_centre",
        lambda x, k: _conv(x, jnp.pad(k, ((1, 1), (1, 1), (0, 0), (0, 0)))),
        _point,
        (IMAGE, POINT),
    ),
    Identity(
        "kernel_with_zeros_between",
        lambda x, k: _conv(x, lax.pad(k, 0.0, ((0, 0, 1), (0, 0, 1), (0, 0, 0), (0, 0, 0)))),
        lambda x, k: lax.conv_general_dilated(
            x, k, (1, 1), "SAME", rhs_dilation=(2, 2), dimension_numbers=NHWC
        ),
        (IMAGE, KERNEL),
    ),
    Identity(
        "channels_of_zeros",
        lambda x, k: _conv(jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, CHANNELS))), k),
        lambda x, k: _conv(x, k[:, :, :CHANNELS]),
        (IMAGE, normal(3, 3, 2 * CHANNELS, CHANNELS)),
    ),
    Identity(
        "constant_delta_kernel",
        lambda x: _conv(x, jnp.zeros((3, 3, CHANNELS, CHANNELS)).at[1, 1].set(jnp.eye(CHANNELS))),
        lambda x: x,
        (IMAGE,),
    ),
    Identity(
        "flipped_before_and_after",
        lambda x, k: _conv(x[:, ::-1, ::-1], k[::-1, ::-1])[:, ::-1, ::-1],
        lambda x, k: _conv(x, k),
        (IMAGE, KERNEL),
    ),
    Identity(
        "mean_over_output_channels",
        lambda x, k: jnp.mean(_conv(x, k), 3),
        lambda x, k: _conv(x, jnp.mean(k, 3, keepdims=True))[..., 0],
        (IMAGE, KERNEL),
    ),
    Identity(
        "one_by_one_after_convolution",
        lambda x, k, m: _conv(_conv(x, k), m),
        lambda x, k, m: _conv(x, jnp.einsum("hwio,op->hwip", k, m[0, 0])),
        (normal(1, 28, 28, 64), normal(3, 3, 64, 256), normal(1, 1, 256, 16)),
    ),
    Identity(
        "pooling_of_bias_and_relu",
        lambda x, b: _greatest(jax.nn.relu(x + b)),
        lambda x, b: jax.nn.relu(_greatest(x) + b),
        (normal(1, 56, 56, 64), normal(64)),
    ),
    Identity(
        "pooling_of_affine",
        lambda x: _greatest(2 * x + 1),
        lambda x: 2 * _greatest(x) + 1,
        (normal(1, 56, 56, 64),),
    ),
)
