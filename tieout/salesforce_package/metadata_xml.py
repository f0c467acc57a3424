"""Elements of the Metadata API as text: one function writes every file, and escapes what has to be escaped."""

from collections.abc import Sequence
from xml.etree import ElementTree

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_INDENT = "    "

Element = tuple[str, "str | bool | int | Sequence[Element]"]
"""Name, and text, truth, number, or the elements inside."""


def document(kind: str, elements: Sequence[Element]) -> str:
    """A file of one component: `kind` is its type, such as CustomField. Ends with a line break, as the Salesforce CLI writes its files."""
    root = ElementTree.Element(kind, xmlns=NAMESPACE)
    _fill(root, elements)
    ElementTree.indent(root, _INDENT)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _fill(parent: ElementTree.Element, elements: Sequence[Element]) -> None:
    for name, content in elements:
        child = ElementTree.SubElement(parent, name)
        if isinstance(content, bool):
            child.text = str(content).lower()
        elif isinstance(content, str | int):
            child.text = str(content)
        else:
            _fill(child, content)
