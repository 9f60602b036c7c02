"""Every optimizer of optax: 100 steps of a small training loop as under `jax.jit`.

Sign functions and line searches make trajectories part, whatever rounds. So each of the steps of
one trajectory, that of `jax.jit`, is taken by both programs from the same state, and their results
are compared with the step in float64: the optimised one may be no further from it than a small
multiple of what `jax.jit` is. A loop of its own then has to reach the same loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import normal

import saturax
from saturax import Options

optax = pytest.importorskip("optax")
contrib = pytest.importorskip("optax.contrib")

_OPTIONS = Options(time_limit_s=6.0, candidates=3, cache=False)
_STEPS, _ALLOWED_MULTIPLE, _ROUNDINGS = 100, 4.0, 64
_X, _Y = normal(32, 8), np.tanh(normal(32, 8).sum(1, keepdims=True)) / 2

_PLAIN: dict[str, Callable[[], Any]] = {
    "adabelief": lambda: optax.adabelief(1e-2),
    "adadelta": lambda: optax.adadelta(1.0),
    "adafactor": lambda: optax.adafactor(1e-2, min_dim_size_to_factor=8),
    "adagrad": lambda: optax.adagrad(1e-1),
    "adam": lambda: optax.adam(1e-2),
    "adamax": lambda: optax.adamax(1e-2),
    "adamaxw": lambda: optax.adamaxw(1e-2),
    "adamw": lambda: optax.adamw(1e-2),
    "adan": lambda: optax.adan(1e-2),
    "amsgrad": lambda: optax.amsgrad(1e-2),
    "fromage": lambda: optax.fromage(1e-2),
    "lamb": lambda: optax.lamb(1e-2),
    "lars": lambda: optax.lars(1.0),
    "lbfgs": lambda: optax.lbfgs(),
    "lion": lambda: optax.lion(1e-3),
    "novograd": lambda: optax.novograd(1e-2),
    "optimistic_adam_v2": lambda: optax.optimistic_adam_v2(1e-2),
    "optimistic_gradient_descent": lambda: optax.optimistic_gradient_descent(1e-2),
    "polyak_sgd": lambda: optax.polyak_sgd(),
    "radam": lambda: optax.radam(1e-2),
    "rmsprop": lambda: optax.rmsprop(1e-3),
    "rprop": lambda: optax.rprop(1e-3),
    "sgd": lambda: optax.sgd(1e-1, momentum=0.9, nesterov=True),
    "sign_sgd": lambda: optax.sign_sgd(1e-3),
    "signum": lambda: optax.signum(1e-3),
    "sm3": lambda: optax.sm3(1e-1),
    "yogi": lambda: optax.yogi(1e-2),
    "acprop": lambda: contrib.acprop(1e-3),
    "ademamix": lambda: contrib.ademamix(1e-2),
    "adopt": lambda: contrib.adopt(1e-2),
    "cocob": lambda: contrib.cocob(),
    "dadapt_adamw": lambda: contrib.dadapt_adamw(),
    "dog": lambda: contrib.dog(),
    "dowg": lambda: contrib.dowg(),
    "galore": lambda: contrib.galore(1e-2, rank=4, update_proj_gap=10),
    "madgrad": lambda: contrib.madgrad(1e-2),
    "mechanize": lambda: contrib.mechanize(optax.adam(1e-2)),
    "momo": lambda: contrib.momo(),
    "momo_adam": lambda: contrib.momo_adam(1e-2),
    "muon": lambda: contrib.muon(1e-2),
    "prodigy": lambda: contrib.prodigy(),
    "reduce_on_plateau": lambda: optax.chain(
        optax.adam(1e-2), contrib.reduce_on_plateau(patience=5)
    ),
    "sam": lambda: contrib.sam(optax.sgd(5e-2), optax.chain(contrib.normalize(), optax.sgd(1e-2))),
    "schedule_free_adamw": lambda: contrib.schedule_free_adamw(1e-2),
    "schedule_free_sgd": lambda: contrib.schedule_free_sgd(1e-1),
    "simplified_ademamix": lambda: contrib.simplified_ademamix(1e-3),
}

# What these draw depends on the type, so that there is no reference in float64.
_DRAWING: dict[str, Callable[[], Any]] = {
    "dpsgd": lambda: contrib.dpsgd(1e-2, l2_norm_clip=1.0, noise_multiplier=0.1, seed=0),
    "noisy_sgd": lambda: optax.noisy_sgd(1e-2, seed=0),
    "sophia": lambda: contrib.sophia(1e-2),
}

# What updates ask for besides gradients and weights.
_ASKED_FOR = {
    "lbfgs": ("value", "grad", "value_fn"),
    "momo": ("value",),
    "momo_adam": ("value",),
    "polyak_sgd": ("value",),
    "reduce_on_plateau": ("value",),
    "sophia": ("obj_fn",),
}


def _loss(weights: Any, x: Any, y: Any) -> Any:
    hidden = jax.nn.gelu(x @ weights["in"]["kernel"] + weights["in"]["bias"])
    hidden = jnp.tanh(hidden @ weights["middle"]["kernel"] + weights["middle"]["bias"])
    return jnp.mean((hidden @ weights["out"]["kernel"] - y) ** 2)


def _weights() -> Any:
    return {
        "in": {"kernel": 0.3 * normal(8, 16), "bias": 0.1 * normal(16)},
        "middle": {"kernel": 0.3 * normal(16, 16), "bias": 0.1 * normal(16)},
        "out": {"kernel": 0.3 * normal(16, 1)},
    }


def _training(name: str) -> tuple[Callable[..., Any], Any]:
    """A step of (state, x, y), and the first state."""
    optimizer = optax.with_extra_args_support((_PLAIN | _DRAWING)[name]())

    def step(state, x, y):
        weights, memory = state
        loss = lambda w: _loss(w, x, y)  # noqa: E731
        value, slopes = jax.value_and_grad(loss)(weights)
        known = {"value": value, "grad": slopes, "value_fn": loss, "obj_fn": loss}
        extra = {argument: known[argument] for argument in _ASKED_FOR.get(name, ())}
        given = slopes
        if name == "dpsgd":  # it takes the gradients of single examples
            given = jax.vmap(jax.grad(_loss), (None, 0, 0))(weights, x[:, None], y[:, None])
        updates, memory = optimizer.update(given, memory, weights, **extra)
        return (optax.apply_updates(weights, updates), memory), value

    weights = jax.tree.map(jnp.asarray, _weights())
    return step, jax.tree.map(jnp.asarray, (weights, optimizer.init(weights)))


def _widened(tree: Any) -> Any:
    return jax.tree.map(
        lambda v: v.astype(np.float64) if jnp.issubdtype(v.dtype, jnp.floating) else v, tree
    )


def _numbers(array: Any) -> Any:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return np.asarray(array, np.float64)


def _errors(found: Any, reference: Any) -> Any:
    """Largest error of each array as a share of its largest reference magnitude."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(reference), strict=True)
    arrays = [(_numbers(a), _numbers(b)) for a, b in pairs]
    scales = [np.max(np.abs(b), initial=0.0) or 1.0 for _, b in arrays]
    differences = [np.max(np.abs(a - b), initial=0.0) for a, b in arrays]
    return np.array(differences) / scales


@pytest.mark.long
@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [*_PLAIN, *_DRAWING])
def test_a_hundred_steps_of_an_optimizer_as_under_jax_jit(name):
    step, start = _training(name)
    fast, plain = saturax.jit(step, options=_OPTIONS), jax.jit(step)
    x, y = jnp.asarray(_X), jnp.asarray(_Y)
    state, ours, theirs, losses = start, [], [], []
    for _ in range(_STEPS):
        after = plain(state, x, y)
        if name in _DRAWING:
            reference = after
        else:
            with jax.enable_x64(True):
                reference = plain(*_widened((state, x, y)))
        ours.append(_errors(fast(state, x, y), reference))
        theirs.append(_errors(after, reference))
        state, loss = after
        losses.append(float(loss))
    for report in fast.reports:  # weak types of the first state may become others
        assert report.candidates, saturax.report.text.explain(report)
    allowed = _ALLOWED_MULTIPLE * np.max(theirs, axis=0) + _ROUNDINGS * np.finfo(np.float32).eps
    assert (np.max(ours, axis=0) <= allowed).all()
    state = start
    for _ in range(_STEPS):
        state, loss = fast(state, x, y)
    assert abs(float(loss) - losses[-1]) <= 0.01 * losses[0]
