"""``attn-nas insight``."""

from __future__ import annotations

import json as json_module

from attn_nas.cli.results import JsonOption, RunArgument


def insight(run: RunArgument, json: JsonOption = False) -> None:
    """Print what each mechanism, position and block does to accuracy, with intervals; writes insight.json and insight.svg."""
    from attn_nas.report import write_insight
    from attn_nas.runs.run import Run
    from attn_nas.terminal.console import console
    from attn_nas.terminal.insight import insight_tables, insight_words

    opened = Run(run)
    found = opened.insight
    out = console(highlight=False)
    if json:
        print(json_module.dumps(found.to_dict(), indent=2))
    else:
        for table in insight_tables(found):
            out.print(table)
            out.print()
        for line in insight_words(found):
            out.print(line, markup=False, soft_wrap=not out.is_terminal)
    written = write_insight(found, opened, opened.folder.path)
    if not json:
        names = ", ".join(path.name for path in written)
        out.print(f"Written: {names} in {opened.folder.path}", markup=False, soft_wrap=not out.is_terminal)
