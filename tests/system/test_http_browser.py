"""A browser before an http listener: what it does on its own, with many connections at once and with cookies."""

import json
import re

from harness.case import for_each
from harness.plan import IPV4
from harness.shell import SCALE
from test_http import WORKERS, HttpCase

# Of deploy/install-deps.sh --browser, which only the long form of the tests asks for.
BROWSER = [
    "chromium",
    "--headless=new",
    "--no-sandbox",  # it is root, in a namespace with nothing but our servers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

if SCALE == 1:  # the browser is there for the long form of the tests only; a test that is left out counts as none

    class HttpBrowser(HttpCase):
        @for_each(workers=WORKERS)
        def test_chromium_loads_a_page_that_uses_all_there_is(self, workers):
            self.web_servers()
            self.listen(workers=workers, sticky_session={"type": "insert", "cookie_timeout": 600}, gzip=True)
            self.when_up()
            profile = self.net.dir / "profile"
            argv = [*BROWSER, f"--user-data-dir={profile}", "--dump-dom", f"http://{IPV4.vip()}/page"]
            page = self.net.client.run(*argv, timeout=90)
            told = json.loads(re.search(r'<pre id="told">(.*?)</pre>', page)[1])
            self.assertEqual(told["problems"], [])
            self.assertEqual(len(told["servers"]), 1, "its cookie keeps it at one server")
