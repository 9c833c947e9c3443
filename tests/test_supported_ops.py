"""SUPPORTED_OPS.md says what the code says, and the code's refusals read as sentences."""

from __future__ import annotations

from pathlib import Path

from edgec.kernel_table import kernel_table
from edgec.onnx_import.ops import TABLE
from edgec.onnx_import.supported import operators
from edgec.route_table import routes_missing
from edgec.supported_ops import document
from edgec.targets.coreml.deployment import choose

ROOT = Path(__file__).parent.parent
FACTS = {support.name: support for support in operators()}


def test_page_is_up_to_date() -> None:
    page = ROOT / "SUPPORTED_OPS.md"
    assert page.read_text() == document(), "run: python -m edgec.supported_ops > SUPPORTED_OPS.md"
    assert "(SUPPORTED_OPS.md)" in (ROOT / "README.md").read_text()


def test_every_entry_of_the_importer_is_on_it() -> None:
    assert set(TABLE) <= set(FACTS)


def test_facts_are_read_off_the_source() -> None:
    assert (FACTS["Upsample"].first, FACTS["Upsample"].last) == (7, 9)
    assert FACTS["Slice"].constants == ("starts", "ends", "axes", "steps")
    assert FACTS["Clip"].constants == ()
    assert FACTS["Sin"].kinds == ("sin",)
    assert FACTS["RotaryEmbedding"].status == "composed"
    assert FACTS["NonMaxSuppression"].status == "refused"
    assert any("runs more than 10000 times" in text for text in FACTS["Loop"].limits)
    assert FACTS["QLinearMatMul"].limits == ("quantises to …; integers are supported",)
    assert any(text.startswith("has a g_idx") for text in FACTS["com.microsoft.MatMulNBits"].limits)


def test_a_refusal_says_what_is_supported() -> None:
    for support in FACTS.values():
        for text in support.limits:
            known = ("support", "to be a constant", "the standard's own definition", "SUPPORTED_OPS.md")
            assert any(word in text for word in known), f"{support.name} {text}"


def test_forms_in_core_ml() -> None:
    missing = routes_missing(choose("ios18"))
    assert missing["conv"] == missing["attention"] == missing["lstm"] == ()
    assert missing["max_pool"] == ("i64", "i32", "u64", "u32")
    assert missing["qconv"] == ("i8", "u8")


def test_kernels_of_doubles() -> None:
    table = kernel_table()
    assert set(table["lstm"].missing.values()) == {("f64",)}
    assert table["matmul"].legal[:4] == ("f64", "f32", "f16", "bf16")
    assert {kind for kind, found in table.items() if any(found.missing.values())} == {"gru", "lstm", "rnn"}
