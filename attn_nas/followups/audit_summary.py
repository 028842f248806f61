"""Reads the main figure of an audit that was written earlier."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import nan

from attn_nas.errors import RunError
from attn_nas.runs.folder import RunFolder
from attn_nas.stats.uncertainty import Estimate

_SCORE = "accuracy, epoch "
"""How scores after an epoch of the short training are called."""


@dataclass(frozen=True)
class AuditSummary:
    """Rank correlation (Spearman) of the complete short training with ``long_epochs`` epochs over so many ``candidates``."""

    agreement: Estimate
    candidates: int
    long_epochs: int


def read_audit_summary(folder: RunFolder) -> AuditSummary | None:
    """Read the audit of a run; None if it has none.

    Raises:
        RunError: its file cannot be read or is damaged.

    """
    path = folder.path / "audit.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        lines = document["lines"]
        after_epochs = [line for line in lines if line["score"].startswith(_SCORE)]
        found = (after_epochs[-1] if after_epochs else lines[0])["spearman"]
        values = [nan if found[name] is None else float(found[name]) for name in ("value", "low", "high")]
        return AuditSummary(Estimate(*values), len(document["candidates"]), int(document["plan"]["long_epochs"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise RunError(f"{path} is damaged: attn-nas audit writes it again") from None
