"""What the importer makes of modules: structure, what stays generic, effects, errors."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.errors import DynamicShapeError, ImportFailure
from saturax.graph.ops import PURE, generic_of
from saturax.stablehlo import emit_module, import_module, to_text


def _main(body, arguments="%x: tensor<4xf32>, %y: tensor<4xf32>", result="tensor<4xf32>"):
    return f"func.func @main({arguments}) -> {result} {{ {body} }}"


def _operations(text):
    return [node.op for node in import_module(text).graph.nodes if node.op != "parameter"]


def _generics(text):
    return [node.op for node in import_module(text).graph.nodes if generic_of(node) is not None]


def _import(function, *arguments):
    return import_module(jax.jit(function).lower(*arguments).compiler_ir("stablehlo"))


def test_concatenations_are_chains_and_are_joined_again():
    text = _main(
        "%0 = stablehlo.concatenate %x, %y, %x, %y, dim = 0 : "
        "(tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<16xf32> "
        "return %0 : tensor<16xf32>",
        result="tensor<16xf32>",
    )
    assert _operations(text) == ["concatenate"] * 3
    assert to_text(emit_module(import_module(text))).count("stablehlo.concatenate") == 1


def test_shared_concatenation_is_not_joined():
    text = _main(
        "%0 = stablehlo.concatenate %x, %y, dim = 0 : "
        "(tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32> "
        "%1 = stablehlo.concatenate %0, %x, dim = 0 : "
        "(tensor<8xf32>, tensor<4xf32>) -> tensor<12xf32> "
        "return %0, %1 : tensor<8xf32>, tensor<12xf32>",
        result="(tensor<8xf32>, tensor<12xf32>)",
    )
    assert to_text(emit_module(import_module(text))).count("stablehlo.concatenate") == 2


@pytest.mark.parametrize(
    ("initial", "body", "op"),
    [
        ("0.0", "stablehlo.add %a, %b", "reduce"),
        ("0.0", "stablehlo.add %b, %a", "reduce"),
        ("-0.0", "stablehlo.add %a, %b", "stablehlo.reduce"),
        ("1.0", "stablehlo.add %a, %b", "stablehlo.reduce"),
        ("0.0", "stablehlo.add %a, %a", "stablehlo.reduce"),
        ("0.0", "stablehlo.subtract %a, %b", "stablehlo.reduce"),
        ("1.0", "stablehlo.multiply %a, %b", "reduce"),
        ("0xFF800000", "stablehlo.maximum %a, %b", "reduce"),
        ("0x7F800000", "stablehlo.minimum %a, %b", "reduce"),
        ("0x7FC00000", "stablehlo.maximum %a, %b", "stablehlo.reduce"),
    ],
)
def test_reductions_with_a_known_body(initial, body, op):
    text = _main(
        f"%i = stablehlo.constant dense<{initial}> : tensor<f32> "
        '%0 = "stablehlo.reduce"(%x, %i) ({ ^bb0(%a: tensor<f32>, %b: tensor<f32>): '
        f"%r = {body} : tensor<f32> "
        "stablehlo.return %r : tensor<f32> }) {dimensions = array<i64: 0>} : "
        "(tensor<4xf32>, tensor<f32>) -> tensor<f32> return %0 : tensor<f32>",
        result="tensor<f32>",
    )
    assert _operations(text)[-1] == op
    emit_module(import_module(text))


@pytest.mark.parametrize(
    "operation",
    [
        '%0 = stablehlo.add %x, %y {mhlo.frontend_attributes = {a = "b"}} : tensor<4xf32>',
        '%0 = stablehlo.add %x, %y {mhlo.sharding = "{replicated}"} : tensor<4xf32>',
        "%0 = stablehlo.exponential %x {result_accuracy = #stablehlo.result_accuracy<"
        "mode = #stablehlo.result_accuracy_mode<HIGHEST>>} : tensor<4xf32>",
        '%0 = stablehlo.reverse %x, dims = [0] {mhlo.sharding = "{replicated}"} : tensor<4xf32>',
    ],
)
def test_attributes_without_a_place_are_kept(operation):
    text = _main(f"{operation} return %0 : tensor<4xf32>")
    program = import_module(text)
    assert len(_generics(text)) == 1
    attribute = operation.partition("{")[2].split(" ")[0]
    assert attribute in to_text(emit_module(program))
    assert import_module(emit_module(program)) == program


def test_default_accuracy_is_of_the_table():
    text = _main(
        "%0 = stablehlo.exponential %x {result_accuracy = #stablehlo.result_accuracy<"
        "mode = #stablehlo.result_accuracy_mode<DEFAULT>>} : tensor<4xf32> "
        "return %0 : tensor<4xf32>"
    )
    assert _operations(text) == ["unary"]


def test_older_dot_is_a_dot_general():
    text = _main(
        "%0 = stablehlo.dot %x, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<f32> "
        "return %0 : tensor<f32>",
        result="tensor<f32>",
    )
    assert _operations(text) == ["dot_general"]


_ALGORITHM = (
    "algorithm = <lhs_precision_type = tf32, rhs_precision_type = tf32, accumulation_type = f32, "
    "lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, "
    "allow_imprecise_accumulation = false>"
)


@pytest.mark.parametrize("precision", ["precision = [HIGH, HIGHEST]", _ALGORITHM])
def test_precision_survives(precision):
    text = _main(
        f"%0 = stablehlo.dot_general %x, %y, contracting_dims = [0] x [0], {precision} : "
        "(tensor<4xf32>, tensor<4xf32>) -> tensor<f32> return %0 : tensor<f32>",
        result="tensor<f32>",
    )
    assert _operations(text) == ["dot_general"]
    assert precision in to_text(emit_module(import_module(text)))


def test_missing_comparison_type_is_the_default_one():
    text = _main(
        "%0 = stablehlo.compare LT, %x, %y : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi1> "
        "return %0 : tensor<4xi1>",
        "%x: tensor<4xi32>, %y: tensor<4xi32>",
        "tensor<4xi1>",
    )
    (node,) = (n for n in import_module(text).graph.nodes if n.op == "binary")
    assert node.attributes == (("compare", "LT", "SIGNED"),)


def test_equal_calls_are_read_once_and_unused_functions_dropped():
    calls = "\n".join(
        f"func.func private @f{i}(%x: tensor<4xf32>) -> tensor<4xf32> {{"
        f"%0 = call @f{i - 1}(%x) : (tensor<4xf32>) -> tensor<4xf32> "
        f"%1 = call @f{i - 1}(%x) : (tensor<4xf32>) -> tensor<4xf32> "
        "%2 = stablehlo.add %0, %1 : tensor<4xf32> return %2 : tensor<4xf32> }"
        for i in range(1, 40)
    )
    text = (
        "func.func private @f0(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }"
        + calls
        + _main("%0 = call @f39(%x) : (tensor<4xf32>) -> tensor<4xf32> return %0 : tensor<4xf32>")
    )
    program = import_module(text)
    assert len(program.graph.nodes) == 40
    assert program.symbols == ()


def test_recursion_is_an_error():
    text = _main(
        "%0 = call @main(%x, %y) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> "
        "return %0 : tensor<4xf32>"
    )
    with pytest.raises(ImportFailure, match="main → main"):
        import_module(text)


def test_captures_at_any_depth():
    def f(x, y):
        def outer(c):
            inner = jax.lax.cond(c[0] > y[0], lambda: jnp.sort(c * x), lambda: c + y)
            return inner + 1

        return jax.lax.while_loop(lambda c: c.sum() < x.sum() + 20, outer, y)

    program = _import(f, np.ones(3, np.float32), np.ones(3, np.float32))
    assert import_module(emit_module(program)) == program
    text = """
    func.func @main(%x: tensor<3xf32>, %n: tensor<i32>) -> tensor<3xf32> {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %y = stablehlo.tanh %x : tensor<3xf32>
      %0:2 = stablehlo.while(%i = %one, %c = %x) : tensor<i32>, tensor<3xf32>
        cond { %p = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
               stablehlo.return %p : tensor<i1> }
        do { %p = stablehlo.compare LT, %i, %one : (tensor<i32>, tensor<i32>) -> tensor<i1>
             %d = "stablehlo.if"(%p) ({
               %e = stablehlo.add %y, %c : tensor<3xf32> stablehlo.return %e : tensor<3xf32>
             }, { %e = stablehlo.subtract %y, %x : tensor<3xf32>
                  stablehlo.return %e : tensor<3xf32> }) : (tensor<i1>) -> tensor<3xf32>
             %j = stablehlo.add %i, %one : tensor<i32>
             stablehlo.return %j, %d : tensor<i32>, tensor<3xf32> }
      return %0#1 : tensor<3xf32>
    }
    """
    program = import_module(text)
    (loop,) = (node for node in program.graph.nodes if node.op == "stablehlo.while")
    generic = generic_of(loop)
    # n, tanh x and x; the constant is repeated inside.
    assert generic.captures == 3
    assert len({region.inputs for region in generic.regions}) == 1
    assert len(generic.regions[0].inputs) == 5
    assert import_module(emit_module(program)) == program


def test_attributes_and_names_survive():
    x = np.ones((4, 2), np.float32)
    lowered = jax.jit(lambda a, b: a + b, donate_argnums=0).lower(x, x)
    program = import_module(lowered.compiler_ir("stablehlo"))
    assert program.module_name == "jit__lambda"
    assert dict(program.argument_attributes[0])["tf.aliasing_output"] == "0 : i32"
    assert dict(program.result_attributes[0])["jax.result_info"] == '"result"'
    assert dict(program.function_attributes) == {"sym_visibility": '"public"'}
    assert to_text(emit_module(program)) == to_text(lowered.compiler_ir("stablehlo"))


_CALL = (
    "%{} = stablehlo.custom_call @c(%x) {{has_side_effect = {}}} : (tensor<4xf32>) -> tensor<4xf32>"
)


@pytest.mark.parametrize(("effect", "count"), [("true", 2), ("false", 1)])
def test_only_pure_calls_are_shared(effect, count):
    calls = " ".join(_CALL.format(i, effect) for i in range(2))
    graph = import_module(_main(f"{calls} return %1 : tensor<4xf32>")).graph
    assert sum(node.op == "stablehlo.custom_call" for node in graph.nodes) == count
    assert len(graph.effects) == (2 if effect == "true" else 0)
    assert to_text(emit_module(import_module(_main(f"{calls} return %x : tensor<4xf32>")))).count(
        "custom_call"
    ) == (2 if effect == "true" else 0)


def test_each_call_of_a_function_has_its_effects():
    function = "func.func private @f(%x: tensor<4xf32>) -> tensor<4xf32> {{ {} {} }}".format(
        _CALL.format("a", "true"), "return %a : tensor<4xf32>"
    )
    calls = " ".join(f"%{i} = call @f(%x) : (tensor<4xf32>) -> tensor<4xf32>" for i in range(3))
    program = import_module(function + _main(f"{calls} return %2 : tensor<4xf32>"))
    assert len(program.graph.effects) == 3


def test_effects_inside_regions_and_composites():
    call = _CALL.format("a", "true")
    text = (
        "func.func private @d(%x: tensor<4xf32>) -> tensor<4xf32> { "
        f"{call} return %a : tensor<4xf32> }}"
        + _main(
            "%c = stablehlo.constant dense<true> : tensor<i1> "
            f'%0 = "stablehlo.if"(%c) ({{ {call} stablehlo.return %a : tensor<4xf32> }}, {{ '
            "stablehlo.return %x : tensor<4xf32> }) : (tensor<i1>) -> tensor<4xf32> "
            '%1 = stablehlo.composite "a.b" %x {decomposition = @d} : '
            "(tensor<4xf32>) -> tensor<4xf32> return %x : tensor<4xf32>"
        )
    )
    program = import_module(text)
    nodes = [program.graph.nodes[index] for index in program.graph.effects]
    assert [node.op for node in nodes] == ["stablehlo.if", "stablehlo.composite"]
    assert all(generic_of(node).sequence != PURE for node in nodes)
    assert len(generic_of(nodes[0]).regions[0].effects) == 1
    assert "@d" in program.symbols[0]
    emit_module(program)


def test_calls_with_attributes_stay_calls():
    text = (
        "func.func private @f(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }"
        + _main(
            '%0 = call @f(%x) {mhlo.frontend_attributes = {_xla_compute_type = "host"}} : '
            "(tensor<4xf32>) -> tensor<4xf32> return %0 : tensor<4xf32>"
        )
    )
    program = import_module(text)
    assert "_xla_compute_type" in to_text(emit_module(program))
    assert len(program.symbols) == 1


def test_tuples_and_tokens_pass_through():
    text = _main(
        "%t = stablehlo.create_token : !stablehlo.token "
        "%u = stablehlo.tuple %x, %y : tuple<tensor<4xf32>, tensor<4xf32>> "
        "%v = stablehlo.get_tuple_element %u[1] : "
        "(tuple<tensor<4xf32>, tensor<4xf32>>) -> tensor<4xf32> "
        '%w = "stablehlo.outfeed"(%v, %t) {outfeed_config = ""} : '
        "(tensor<4xf32>, !stablehlo.token) -> !stablehlo.token return %v : tensor<4xf32>"
    )
    program = import_module(text)
    assert len(program.graph.effects) == 1
    assert import_module(emit_module(program)) == program


def _set_dimension_size(size, value="3"):
    """A program that sets the second of two dimensions, of size 3, to a size."""
    return _main(
        f"%c = stablehlo.constant dense<{value}> : tensor<i32> "
        f"%0 = stablehlo.set_dimension_size %x, {size}, dim = 1 : "
        f"(tensor<3x3xf32>, tensor<i32>) -> tensor<3x3xf32> return %0 : tensor<3x3xf32>",
        "%x: tensor<3x3xf32>, %s: tensor<i32>",
        "tensor<3x3xf32>",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            _main("return %x : tensor<?xf32>", "%x: tensor<?xf32>", "tensor<?xf32>"),
            r"@main, argument 0.*\?xf32",
        ),
        (
            _main(
                '%0 = "stablehlo.dynamic_iota"(%s) {iota_dimension = 0 : i64} : '
                "(tensor<1xi32>) -> tensor<4xf32> return %0 : tensor<4xf32>",
                "%s: tensor<1xi32>",
            ),
            "stablehlo.dynamic_iota",
        ),
        (_set_dimension_size("%s"), "stablehlo.set_dimension_size"),
        (_set_dimension_size("%c", "2"), "stablehlo.set_dimension_size"),
    ],
)
def test_dynamic_shapes(text, message):
    with pytest.raises(DynamicShapeError, match=message):
        import_module(text)


def test_a_dimension_set_to_the_size_that_it_has_is_unchanged():
    graph = import_module(_set_dimension_size("%c")).graph
    assert graph.outputs == (0,)


def test_symbolic_export_is_dynamic():
    n = jax.export.symbolic_shape("n")
    exported = jax.export.export(jax.jit(lambda x: x * 2))(jax.ShapeDtypeStruct(n, np.float32))
    with pytest.raises(DynamicShapeError, match="symbolic"):
        import_module(exported.mlir_module_serialized)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_main("%0 = arith.addf %x, %y : tensor<4xf32> return %0 : tensor<4xf32>"), "arith.addf"),
        ("func.func private @f() { return }", "found none"),
        ("func.func @f() { return } func.func @g() { return }", "found f, g"),
        ("func.func private @main(%x: tensor<f32>)", "found 0"),
        (
            "func.func @main() { cf.br ^a ^a: return }",
            "MLIR says|found 2",
        ),
    ],
)
def test_what_is_no_program(text, message):
    with pytest.raises(ImportFailure, match=message):
        import_module(text)


def test_only_public_function_is_the_entry():
    text = "func.func @entry(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> }"
    program = import_module(text)
    assert program.name == "entry"
    assert "@entry" in to_text(emit_module(program))
