"""Text files and programs' output are UTF-8, whatever the user's locale says."""

import ast

from models.cache import REPOSITORY

PACKAGES = ("hw", "models", "scin", "fpga")
TEXT_METHODS = {"read_text", "write_text"}


def calls():
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def reads_text(call):
    """Whether a call has text made from bytes, or bytes from text."""
    keywords = {item.arg: item.value for item in call.keywords}
    text = keywords.get("text")
    if isinstance(text, ast.Constant) and text.value is True:
        return True
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in TEXT_METHODS:
        return True
    if name not in ("open", "fdopen") or ast.unparse(call.func) == "os.open":
        return False
    modes = [item.value for item in call.args if isinstance(item, ast.Constant)]
    return not any(isinstance(mode, str) and "b" in mode for mode in modes)


def test_every_text_has_its_encoding():
    loose = [
        where
        for where, call in calls()
        if reads_text(call) and "encoding" not in {item.arg for item in call.keywords}
    ]
    assert loose == []
