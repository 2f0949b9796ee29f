"""HTML as a tree: whatever a run's files hold is text, and is escaped where the tree is written."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element as Element
from xml.etree.ElementTree import tostring


def element(tag: str, *children: Element | str, **attributes: str) -> Element:
    """Return an element with children.

    Parameters
    ----------
    tag : str
    *children : Element or str
    **attributes : str
        `class_` is `class`, and `data_run` is `data-run`.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = Element(tag, names)
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def written(elements: Iterable[Element]) -> str:
    """Return elements as HTML."""
    return "\n".join(tostring(made, encoding="unicode", method="html") for made in elements)
