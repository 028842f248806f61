"""Fails on known vulnerabilities of installed packages; where nobody can be asked about them, it says so, and passes.

    python .ci/audit.py FREEZE

FREEZE is what ``pip freeze`` has written; pip-audit must be installed beside this Python.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_SECONDS = 120


def pinned(freeze: str) -> list[str]:
    """The packages of ``freeze`` as an index knows them: builds of one's own (``+cpu``) are those of the release."""
    return [re.sub(r"\+.*", "", line) for line in freeze.splitlines() if re.match(r"[A-Za-z0-9._-]+==", line)]


def judged(report: dict[str, Any]) -> tuple[int, str]:
    """Exit code and words for what pip-audit has found."""
    packages = report["dependencies"]
    asked = [each for each in packages if "skip_reason" not in each]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    found = [f"{each['name']} {each['version']}: {vuln['id']}" for each in asked for vuln in each["vulns"]]
    if found:
        return 1, "\n".join(["known vulnerabilities:", *found])
    if not asked:
        return 0, f"not audited: the index knows nothing of these {len(skipped)} packages"
    return 0, f"no known vulnerability in {len(asked)} packages" + (f"; not audited: {', '.join(skipped)}" if skipped else "")


def main() -> None:
    """Ask, and end with 1 if there is something to mend."""
    audit = Path(sys.executable).with_name("pip-audit")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("\n".join(pinned(Path(sys.argv[1]).read_text(encoding="utf-8"))))
        wanted.flush()
        command = [
            audit,
            "--requirement",
            wanted.name,
            "--no-deps",
            "--disable-pip",
            "--progress-spinner",
            "off",
            "--format",
            "json",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            code, words = judged(json.loads(done.stdout))
        except (OSError, subprocess.TimeoutExpired):
            code, words = 0, f"not audited: nobody answers within {_SECONDS} s, or pip-audit cannot be run"
        except ValueError:
            code, words = 0, f"not audited: {(done.stderr.strip().splitlines() or ['pip-audit says nothing'])[-1]}"
    print(words)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
