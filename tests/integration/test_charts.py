"""The charts of the pages: the vendored library, and the data that Python makes for them."""

import hashlib
from importlib.resources import files
from pathlib import Path

STATIC = files("attn_nas.report.pages") / "static"
BUILD = Path(__file__).parents[2] / "docs" / "echarts"


def test_the_library_is_the_build_that_is_recorded():
    """Its bytes have the recorded hash, it names its licence, and its version is that of the script that builds it."""
    content = (STATIC / "echarts.min.js").read_bytes()
    recorded, name = (STATIC / "echarts.sha256").read_text().split()
    assert (hashlib.sha256(content).hexdigest(), name) == (recorded, "echarts.min.js")
    version = content.decode().partition("Apache ECharts ")[2].partition(",")[0]
    assert f'"echarts": "{version}"' in (BUILD / "package.json").read_text()
    licence = (STATIC / "echarts.LICENSE").read_text()
    assert all(words in licence for words in ("The Apache Software Foundation", "Apache License", "zrender", "Baidu", "tslib"))
