"""How the site is built: `make docs`. Pages are Markdown (MyST); commands and library are read from the code."""

import os
import re
from importlib.metadata import version as version_of
from pathlib import Path

import cliff.sphinxext

HERE = Path(__file__).parent.resolve()
ROOT = HERE.parent
PAGES = {
    ROOT / "README.md": "index.md",
    ROOT / "ARCHITECTURE.md": "project/architecture.md",
    ROOT / "CHANGELOG.md": "project/changelog.md",
    ROOT / "CONTRIBUTING.md": "project/contributing.md",
    ROOT / "local_cloud" / "README.md": "project/local-cloud.md",
    ROOT / "tests" / "golden" / "README.md": "project/golden-histories.md",
    HERE / "adr": "adr/index.md",
}
"""Files that lie elsewhere in the repository and are pages of the site; links lead to the pages."""

project = "Provisioning journal"
author = "The authors of the provisioning journal"
copyright = "the authors; Apache License 2.0"
version = release = version_of("provisioning-journal")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "cliff.sphinxext"]
smartquotes = False
default_role = "code"  # docstrings and help texts say `name` for code

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"Provisioning journal {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "undoc-members": True, "exclude-members": "__init__, __new__"}
python_use_unqualified_type_names = True

autoprogram_cliff_application = "provjournal"
autoprogram_cliff_ignored = [
    "--help",
    # what every table or record takes: described once, in reference/output.md
    "--format",
    "--column",
    "--max-width",
    "--fit-width",
    "--print-empty",
    "--prefix",
    "--variable",
    "--noindent",
    "--quote",
    "--sort-column",
    "--sort-ascending",
    "--sort-descending",
    # what every command on a journal takes: described once, in command-line.md
    "--journal",
    "--strict",
]

_INLINE_MARKUP = re.compile(r"(`[^`]*`)|([*|])")
_PROVIDED_BY = "This command is provided by the"
"""How the line begins in which cliff tells that a command is of this package, as all are."""
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def _as_text(format_part):  # noqa: ANN001, ANN202 (wraps a function of cliff)
    """Have what help texts say be text: a pattern such as 'prod-*' is no emphasis."""

    def lines(about):  # noqa: ANN001, ANN202
        for line in format_part(about):
            if line.lstrip().startswith(".. "):
                yield line
            elif not line.startswith(_PROVIDED_BY):
                yield _INLINE_MARKUP.sub(lambda found: found[1] or f"\\{found[2]}", line)

    return lines


def _relinked(text: str, folder: Path, page: str) -> str:
    """Return the text of a file of `folder` with its links as they must be on a page of the site."""

    def link(found: re.Match[str]) -> str:
        target = (folder / found[1]).resolve()
        path = HERE / PAGES[target] if target in PAGES else target
        return f"]({os.path.relpath(path, (HERE / page).parent)}"

    return _LINK.sub(link, text)


def _read_source(app, page, content):  # noqa: ANN001, ANN202 (Sphinx calls it)
    if Path(app.env.doc2path(page)).suffix == ".md":
        content[0] = _relinked(content[0], (HERE / page).parent, page)


def _read_included(app, path, _page, content):  # noqa: ANN001, ANN202 (Sphinx calls it)
    content[0] = _relinked(content[0], (HERE / path).resolve().parent, app.env.docname)


def setup(app):  # noqa: ANN001, ANN201 (Sphinx calls it)
    """Adapt cliff's extension, and links between the repository's files."""
    for part in ("description", "epilog", "positional_action", "optional_action"):
        name = f"_format_{part}"
        setattr(cliff.sphinxext, name, _as_text(getattr(cliff.sphinxext, name)))
    app.connect("source-read", _read_source)
    app.connect("include-read", _read_included)
