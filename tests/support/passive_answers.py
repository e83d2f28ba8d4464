"""Texts that would come alive if they were taken for markup, and answers that keep them asleep."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree

MARKUP = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</text></svg><script>1</script>",
    "]]><script>1</script><![CDATA[",
    "<foreignObject><body onload=1>",
    '<a href="javascript:alert(1)">x</a>',
    "&lt;script&gt; &#60;b&#62; &amp;",
    '<!DOCTYPE x [<!ENTITY e "1">]>&e;',
    "<?xml-stylesheet href='http://x/'?>",
    "<style>@import 'http://x/';</style>",
    "url(http://x/) expression(1)",
    "$\\href{http://x}{y}$ \\write18{id}",
    "{{7*7}} ${7*7} <%= 7*7 %> %s %n",
    "=cmd|' /C calc'!A0",
    "'; DROP TABLE jobs; --",
)


def check_picture(picture: bytes, names: tuple[str, ...]) -> None:
    """Check that an SVG contains nothing but a drawing, and the names in it as text."""
    root = ElementTree.fromstring(picture)
    for element in root.iter():
        tag = str(element.tag).rpartition("}")[2].lower()
        assert tag not in {"script", "foreignobject", "a", "iframe", "animate", "set"}
        for name, value in element.attrib.items():
            assert not name.rpartition("}")[2].lower().startswith("on"), name
            if name.endswith("href"):
                assert value.startswith(("#", "data:image/png;base64,")), value
        if tag == "style":
            assert not re.search(r"@import|url\((?!#)", element.text or "")
    drawn = "".join(root.itertext())
    assert all(name in drawn for name in names)


def check_passive(headers: Mapping[str, str], media_type: str) -> None:
    assert headers["content-type"].split(";")[0] == media_type
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
