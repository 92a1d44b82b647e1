"""Tables of topics and services: names and words of il_core/topics.py, users of config/security/connections.yaml."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.markdown import code, prose, table
from il_cli.security_policy import ConnectionTable, load_connections

ROOT = Path(__file__).parents[1]
TOPICS, QOS = ROOT / "il_core" / "topics.py", ROOT / "il_core" / "ros" / "qos.py"
_PLACEHOLDER = {"camera": "<camera>", "name": "<object>", "source": "<source>", "mark": "<1..5>"}


def constants() -> dict[str, tuple[str, str]]:
    """Name in the code -> (topic or service, comment on its line) of il_core/topics.py; functions give a pattern."""
    text = TOPICS.read_text()
    lines, found = text.splitlines(), {}
    for node in ast.parse(text).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            comment = lines[node.lineno - 1].partition("  # ")[2]
            found[node.targets[0].id] = (str(node.value.value), comment)
        elif isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return):
            value = node.body[-1].value
            if isinstance(value, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else _hole(p) for p in value.values]
                found[node.name] = ("".join(map(str, parts)), ast.get_docstring(node) or "")
    return found


def _hole(part: ast.expr) -> str:
    """What stands for the variable part of a name."""
    variable = next(n.id for n in ast.walk(part) if isinstance(n, ast.Name))
    return _PLACEHOLDER.get(variable, f"<{variable}>")


def described() -> dict[str, tuple[str, str]]:
    """Name in the code -> (message and meaning, who to whom) of the table in the docstring of il_core/topics.py."""
    text = ast.get_docstring(ast.parse(TOPICS.read_text())) or ""
    found = {}
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) == 3 and re.match(r"^[A-Z]", cells[0]):
            for name in cells[0].split(", "):
                found[name] = (cells[1], cells[2])
    return found


def _first_service() -> int:
    """Line of the comment after which il_core/topics.py lists services."""
    lines = TOPICS.read_text().splitlines()
    return next(i for i, line in enumerate(lines) if line.startswith("# Services"))


def is_service(name: str) -> bool:
    """Whether a constant names a service: by the part of the file, or by its comment or docstring."""
    comment = constants()[name][1]
    if name.isupper():
        line = next(i for i, text in enumerate(TOPICS.read_text().splitlines()) if text.startswith(f"{name} = "))
        return line > _first_service() and " topic" not in comment
    return comment.startswith("Service")


def _pattern(topic: str) -> str:
    """A name as the table of connections writes it."""
    return re.sub(r"<[^>]+>", "*", topic)


def _users(topic: str, which: str, connections: ConnectionTable) -> list[str]:
    """Nodes that use a topic or service in one way, by any of its names."""
    wanted = re.compile(re.escape(_pattern(topic)).replace(r"\*", r"[^/]+") + "$")
    users = []
    for node in connections.nodes:
        used = getattr(connections.observed.get(node), which, {}), getattr(connections.optional.get(node), which, {})
        if any(wanted.match(name) for names in used for name in names):
            users.append(node)
    return users


def _type(topic: str, connections: ConnectionTable) -> str:
    wanted = re.compile(re.escape(_pattern(topic)).replace(r"\*", r"[^/]+") + "$")
    for node in connections.nodes:
        of = connections.of(node)
        for names in (of.publishes, of.subscribes, of.serves, of.calls):
            for name, kind in names.items():
                if wanted.match(name):
                    return kind
    return ""


def _short(kind: str) -> str:
    return kind.replace("/msg/", "/").replace("/srv/", "/")


def topic_table() -> str:
    """Every topic: message, who sends and hears it, what it means."""
    connections, words, rows = load_connections(), described(), []
    for name, (topic, comment) in constants().items():
        if is_service(name):
            continue
        meaning, ends = words.get(name, (comment, ""))
        kind = _short(_type(topic, connections)) or _message(meaning) or _message(comment)
        senders, hearers = (_users(topic, w, connections) for w in ("publishes", "subscribes"))
        told = [t.strip() for t in ends.split("->")] if "->" in ends else ["", ""]
        source = ", ".join(senders) or told[0] or "anybody"
        target = ", ".join(hearers) or told[1] or "anybody"
        rows.append([code(topic), code(kind), source, target, prose(_without(kind, meaning))])
    return table(["topic", "message", "from", "to", "meaning"], sorted(rows))


def service_table() -> str:
    """Every service: type, who serves it, what it does."""
    connections, rows = load_connections(), []
    for name, (service, comment) in constants().items():
        if not is_service(name):
            continue
        kind = _short(_type(service, connections)) or _message(comment) or "std_srvs/Trigger"
        servers, callers = (_users(service, w, connections) for w in ("serves", "calls"))
        meaning = _without(kind, comment.removeprefix("Service that ").removeprefix("Service "))
        rows.append([code(service), code(kind), ", ".join(servers), ", ".join(callers) or "anybody", prose(meaning)])
    return table(["service", "type", "served by", "called by", "meaning"], sorted(rows))


def _message(text: str) -> str:
    found = re.search(r"\b[a-z_]+_(?:msgs|srvs)/\w+", text)
    return found.group(0) if found else ""


def _without(kind: str, text: str) -> str:
    """A meaning without the message type it begins with."""
    return re.sub(rf"^\(?{re.escape(kind)}\)?[,:]?\s*", "", text) if kind else text


def qos_table() -> str:
    """The profiles of il_core/ros/qos.py and the words under them."""
    body, rows = ast.parse(QOS.read_text()).body, []
    for node, after in zip(body, body[1:], strict=False):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(after, ast.Expr):
            given = {k.arg: ast.unparse(k.value).split(".")[-1] for k in node.value.keywords}
            rows.append(
                [
                    code(ast.unparse(node.targets[0])),
                    given.get("reliability", "").lower().replace("_", " "),
                    given.get("durability", "volatile").lower().replace("_", " "),
                    given.get("depth", ""),
                    ast.literal_eval(after.value),
                ]
            )
    return table(["profile", "reliability", "durability", "depth", "for"], rows)


def node_table() -> str:
    """What each node uses, as the policy allows it."""
    connections, parts = load_connections(), []
    for node in connections.nodes:
        seen, extra = connections.observed.get(node), connections.optional.get(node)
        rows = []
        for which in ("publishes", "subscribes", "serves", "calls"):
            here, perhaps = getattr(seen, which, {}), getattr(extra, which, {})
            names = [*map(code, sorted(here)), *(f"{code(n)} (option)" for n in sorted(set(perhaps) - set(here)))]
            if names:
                rows.append([which, ", ".join(names)])
        parts.append(f"### {node}\n\n" + table(["it", "names"], rows))
    return "\n\n".join(parts)
