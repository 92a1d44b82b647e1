"""The review page: one HTML file with everything in it, for any browser, without a network or a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from il_core.errors import RecordingError
from il_core.store.files import write_durably
from il_teleop.review.page_script import SCRIPT
from il_teleop.review.page_style import BODY, STYLE

DECISIONS_FORMAT = 1
# The page needs no other source than itself; the browser is told to enforce that.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; media-src blob:; img-src data:"


def page(takes: Sequence[Mapping[str, Any]], title: str = "il_robot review") -> str:
    """HTML of the page.

    Args:
        takes: Values of :func:`il_teleop.review.take.page_values`, in the order they shall have.
        title: Title of the page.
    """
    data = _embedded({"format": DECISIONS_FORMAT, "takes": list(takes)})
    head = (
        "<meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{_text(title)}</title><style>{STYLE}</style>"
    )
    script = f"<script type='application/json' id='data'>{data}</script><script>{SCRIPT}</script>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{BODY}{script}</body></html>\n"


def write_page(path: Path, takes: Sequence[Mapping[str, Any]]) -> None:
    """Write the page; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, page(takes))


def read_decisions(path: Path) -> dict[str, dict[str, Any]]:
    """Decisions saved from the page, by folder of the recording.

    Raises:
        RecordingError: not a file of this format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(path, f"is no decisions file ({error}); save it again from the page") from error
    if not isinstance(values, dict) or values.get("format") != DECISIONS_FORMAT:
        got = values.get("format") if isinstance(values, dict) else type(values).__name__
        raise RecordingError(path, f"has format {got!r}, this release reads {DECISIONS_FORMAT}; save it again")
    found = values.get("decisions")
    if not isinstance(found, dict) or not all(isinstance(d, dict) for d in found.values()):
        raise RecordingError(path, "has no 'decisions' by recording; save it again from the page")
    return found


def _embedded(values: Any) -> str:  # noqa: ANN401 - JSON
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(values, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
