"""Texts that try to run a script, make a request, or escape from their place."""

RUNS = "document.title='owned'"

PAYLOADS = [
    f"<script>{RUNS}</script>",
    f"</title><script>{RUNS}</script>",
    f"</style></details></pre></article><script>{RUNS}</script>",
    f'"><script>{RUNS}</script>',
    f"'\" autofocus tabindex=1 onfocus={RUNS} x='",
    f"<img src=HOST/image onerror={RUNS}>",
    f"<svg onload={RUNS}><script>{RUNS}</script></svg>",
    f"<iframe srcdoc='<script>parent.{RUNS}</script>'></iframe>",
    "<link rel=stylesheet href=HOST/style><meta http-equiv=refresh content='0;url=HOST/refresh'>",
    "<style>body{background:url(HOST/background)}</style><base href=HOST/base/>",
    "![picture](HOST/picture) ![data](data:image/svg+xml;base64,PHN2Zy8+)",
    f"[click](javascript:{RUNS}) <javascript:{RUNS}> [file](file:///etc/passwd) [share](//evil/share)",
    f"[x]: javascript:{RUNS}\n[x]",
    f"[page](data:text/html,<script>{RUNS}</script>) [old](vbscript:{RUNS}) [blob](blob:HOST/x)",
    f"```<script>{RUNS}</script>\n<script>{RUNS}</script>\n```",
    f"```python\"onload={RUNS}\nprint('<b>')\n```",
    f"| <script>{RUNS}</script> |\n|:--|\n| <img src=x onerror={RUNS}> |",
    f"<!-- --><script>{RUNS}</script> <![CDATA[<script>{RUNS}</script>]]>",
    "&lt;script&gt; &#60;script&#62; {{ 7 * 7 }} {% include 'x' %}",
    "\x1b]0;owned\x07 \x00 \u202egnp.exe \x9b31m half \ud83d",
]
