"""Write the reference of what an analysis can find from the tables it is made of.

python -m tools.analysis_reference docs/reference/analysis.md          write it
python -m tools.analysis_reference --check docs/reference/analysis.md  exit 1 when it is not current
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from meshd.control.analysis.advice import ADVICE
from meshd.control.analysis.catalog import ANALYSES, ON_REQUEST
from meshd.control.analysis.codes import CODES, Code
from tools.reference_page import write_or_check

HEAD = """# What an analysis finds

Written by `make docs-reference` from the program itself; do not edit.

`meshd analyze PATH...` reads files and directories, validates every document, and looks at all of them together, without a mesh
and without a cluster.
The control plane does the same beside publishing, where it leaves out what depends on who is there just now (marked *files only*).
`IST` codes are Istio's, with Istio's names, levels and meaning, in words of our own; `MD` codes are meshd's.
A code never changes its meaning, and one that is retired is never used again.

## How it judges

- Documents that name no namespace belong to `default`, or to that of `--namespace`.
- A Deployment (or whatever makes pods) stands for the pods it will have.
- The ingress gateway of an installation, `istio: ingressgateway` in `istio-system`, is there though no document says so,
  unless one does.
- A document that breaks a rule is still judged together with the others, so that one mistake does not look like five.
- The same remark about one object is made once, at its first place, with the lines of the others.
- A namespace of which nobody says whether it is injected counts as part of the mesh.
- Where no document names any workload, or any namespace, nobody is told that those a policy names are missing (IST0127, IST0101).
- Where only Deployments are known, a subset that no route leads to is taken for one to come (IST0173).
- Where all workloads of a host are of the chosen subset, a gateway's route without one is no matter (IST0140).
- Names are not looked up: IST0163 goes by the form of an address alone.

## Leaving findings out

- `-S 'IST0118=Service default/*'` for one run; both sides may hold `*`.
- The annotation `galley.istio.io/analyze-suppress: IST0118,IST0108` on an object (`*` is all) for good.
- `--failure-threshold` says from which level on the command fails, `--output-threshold` what is shown.

Exit codes: 0 nothing from the failure threshold on, 1 something, 2 usage, 65 a file could not be read at all.

"""

TABLES = (("IST", "Istio's codes"), ("MD", "meshd's codes"))


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(part for prefix, title in TABLES for part in _table(prefix, title)) + "\n"


def _table(prefix: str, title: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    for code in sorted(CODES.values(), key=lambda each: each.code):
        if code.code.startswith(prefix):
            yield from _section(code)


def _section(code: Code) -> Iterator[str]:
    advice = ADVICE[code.code]
    yield f'<a id="{code.code.lower()}"></a>'
    yield f"### {code.code} {code.name}"
    yield ""
    yield f"*{code.level.value}.* {advice.meaning}"
    if advice.remedy:
        yield f"**To mend it:** {advice.remedy}"
    if advice.why_not:
        yield f"Not reported: {advice.why_not}"
    found_by = _found_by(code.code)
    if found_by:
        yield f"Found by {', '.join(found_by)}."
    yield ""


def _found_by(code: str) -> list[str]:
    """The analyzers that report a code."""
    return [
        f"`{analysis.name}`{' (files only)' if analysis.offline else ''}"
        for analysis in (*ANALYSES, *ON_REQUEST)
        if code in analysis.codes
    ]


if __name__ == "__main__":
    sys.exit(write_or_check(page()))
