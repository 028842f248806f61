"""The documentation keeps up with the code."""

from pathlib import Path

import attn_nas

ROOT = Path(__file__).parents[2]


def test_every_public_name_can_be_had():
    """All of `attn_nas.__all__`, though each loads only when it is used."""
    assert all(getattr(attn_nas, name) is not None for name in attn_nas.__all__)


def test_every_benchmark_is_documented_with_its_results():
    """Each script stands in benchmarks/README.md and beside its figures in docs/benchmarks.md, with committed results."""
    files = (ROOT / "benchmarks").glob("*.py")
    scripts = sorted(path.stem for path in files if '__name__ == "__main__"' in path.read_text())
    assert len(scripts) >= 4
    for text in ((ROOT / "benchmarks" / "README.md").read_text(), (ROOT / "docs" / "benchmarks.md").read_text()):
        assert [name for name in scripts if f"{name}.py" not in text] == []
    assert [name for name in scripts if not (ROOT / "benchmarks" / "results" / f"{name}.json").exists()] == []
