"""Image networks of `keras.applications` on the JAX backend, random weights, NHWC, inference."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .base import Arrays, Program, Workload, sized
from .weights import Array, Weights, images


@dataclass(frozen=True)
class KerasConfig:
    """A class of `keras.applications`, the image size, and the layer to cut it after, if any.

    Pixels are drawn near `pixel_mean` with contrast `pixel_scale`: most networks want them
    centred, EfficientNet rescales from 0..255 itself.
    """

    model: str
    size: int = 224
    last_layer: str = ""
    pixel_mean: float = 0.0
    pixel_scale: float = 1.0


def keras_module() -> Any:
    """Keras on the JAX backend.

    Raises:
        RuntimeError: Keras was imported before with another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras  # type: ignore[import-untyped]

    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"expected Keras on the JAX backend, found {keras.backend.backend()!r}: "
            "set KERAS_BACKEND=jax before Keras is imported."
        )
    return keras


def make_model(config: KerasConfig) -> Any:
    """The application without downloaded weights; cut and pooled when it has a last layer."""
    keras = keras_module()
    shape = (config.size, config.size, 3)
    application = getattr(keras.applications, config.model)
    if not config.last_layer:
        return application(weights=None, input_shape=shape)
    model = application(weights=None, input_shape=shape, include_top=False)
    output = model.get_layer(config.last_layer).output
    return keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(output))


def random_value(weights: Weights, variable: Any) -> Array:
    """A plausible random value for a variable, by its name: He kernels, scales near one."""
    shape, name = tuple(variable.shape), variable.name
    if "kernel" in name:
        # A depthwise kernel (height, width, channels, 1) sums over its window only.
        is_depthwise = "depthwise" in variable.path or "dwconv" in variable.path
        fan_in = int(np.prod(shape[:2])) if is_depthwise else int(np.prod(shape[:-1]))
        gain = 1.0 if "predictions" in variable.path else 2.0
        return weights.normal(*shape, scale=float(np.sqrt(gain / fan_in)))
    if name in ("gamma", "variance", "moving_variance"):
        return weights.uniform(*shape, low=0.7, high=1.3)
    if name in ("beta", "bias", "mean", "moving_mean"):
        return weights.normal(*shape, scale=0.1)
    return np.asarray(variable)


def with_statistics(
    model: Any, trainable: list[Array], non_trainable: list[Array], image: Array
) -> list[Array]:
    """`non_trainable` with batch-norm statistics near those that `image` (batch, ...) causes.

    As in a trained network, so that signals neither vanish nor drown in the shifts.
    """
    import jax

    norms = [each for each in model.layers if type(each).__name__ == "BatchNormalization"]
    momentum = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    call = jax.jit(lambda *args: model.stateless_call(*args, training=True)[1])
    seen = call(trainable, non_trainable, image)
    for layer, value in zip(norms, momentum, strict=True):
        layer.momentum = value
    values = []
    for variable, old, new in zip(model.non_trainable_variables, non_trainable, seen, strict=True):
        if variable.name == "moving_variance":
            values.append(np.asarray(new) * old + np.float32(1e-3))
        elif variable.name == "moving_mean":
            values.append(np.asarray(new) + old * np.std(np.asarray(new)))
        else:
            values.append(old)
    return values


def build(config: KerasConfig, reduced: bool) -> Program:
    """Probabilities (1, 1000), or pooled features of a cut model, of an image (1, h, w, 3)."""
    model = make_model(config)
    weights = Weights()

    def draw_images(rng: np.random.Generator, batch: int) -> Array:
        centred = images(rng, batch, config.size, config.size)
        return np.float32(config.pixel_mean) + np.float32(config.pixel_scale) * centred

    trainable = [random_value(weights, v) for v in model.trainable_variables]
    non_trainable = [random_value(weights, v) for v in model.non_trainable_variables]
    if any(v.name == "moving_mean" for v in model.non_trainable_variables):
        sample = draw_images(weights.rng, 4)
        non_trainable = with_statistics(model, trainable, non_trainable, sample)
    parameters = {"trainable": trainable, "non_trainable": non_trainable}

    def forward(parameters: Any, image: Any) -> Any:
        outputs, _ = model.stateless_call(
            parameters["trainable"], parameters["non_trainable"], image, training=False
        )
        return outputs

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (draw_images(rng, 1),)

    return Program(forward, parameters, draw_inputs, small=reduced)


def _workload(
    name: str, number: int, full: KerasConfig, reduced_size: int, reduced_last: str
) -> Workload:
    text = f"keras.applications.{full.model}, 1x{full.size}x{full.size}x3 NHWC f32"
    small = replace(full, size=reduced_size, last_layer=reduced_last)
    return Workload(name, number, text, sized(build, full, small), requires=("keras",))


_EFFICIENTNET = KerasConfig("EfficientNetB0", pixel_mean=120.0, pixel_scale=60.0)

WORKLOADS = (
    _workload("mobilenet_v2", 2, KerasConfig("MobileNetV2"), 32, "block_3_project_BN"),
    _workload("vgg19", 2, KerasConfig("VGG19"), 32, "block3_pool"),
    _workload("inception_v3", 2, KerasConfig("InceptionV3", 299), 75, "mixed0"),
    _workload("nasnet_mobile", 2, KerasConfig("NASNetMobile"), 32, "normal_concat_0"),
    _workload("efficientnet_b0", 3, _EFFICIENTNET, 32, "block3a_project_bn"),
)
