"""gzip of http listeners as people meet it: nginx behind, curl and raw connections in front."""

import gzip
import zlib

from harness import config, http
from harness.plan import IPV4
from harness.servers import Nginx
from harness.shell import eventually

from test_http import HttpCase, pattern

ONE_SERVER = [config.group("web", IPV4, 80, weights=(100,))]
PAGE = b"".join(b"<p>line %d of a page that says much the same again and again</p>\n" % n for n in range(60_000))


class HttpGzip(HttpCase):
    def nginx_with(self, **files):
        nginx = Nginx(self.net, 0)
        self.addCleanup(nginx.stop)
        for name, content in files.items():
            (nginx.root / name.replace("_", ".")).write_bytes(content)
        return nginx

    def curl(self, path, *options):
        """The body as curl stores it, and the head."""
        body, head = self.net.dir / "body", self.net.dir / "head"
        http.curl(self.client, IPV4.vip(), 80, path, "-o", body, "-D", head, *options)
        return body.read_bytes(), head.read_text().lower()

    def test_a_large_page_is_smaller_on_its_way_and_the_same_at_its_end(self):
        self.nginx_with(page_html=PAGE)
        steelyard = self.listen(groups=ONE_SERVER, gzip=True)
        plain, head = self.curl("/files/page.html")
        self.assertEqual(plain, PAGE)
        self.assertNotIn("content-encoding", head)
        self.assertIn("vary: accept-encoding", head)
        self.assertIn("accept-ranges: bytes", head)
        for _ in range(3):
            read, head = self.curl("/files/page.html", "--compressed")
            self.assertEqual(read, PAGE)
            self.assertIn("content-encoding: gzip", head)
            self.assertIn("transfer-encoding: chunked", head)
            self.assertIn("vary: accept-encoding", head)
            self.assertIn('etag: w/"', head)
            self.assertNotIn("content-length", head)
            self.assertNotIn("accept-ranges", head)
        raw, _ = self.curl("/files/page.html", "-H", "Accept-Encoding: gzip")
        self.assertEqual(gzip.decompress(raw), PAGE)
        self.assertLess(len(raw), len(PAGE) / 5)
        counted = steelyard.stats()["workers"][0]["http"]
        self.assertEqual(counted["gzip_answers"], 4)
        self.assertEqual(counted["gzip_bytes_in"], 4 * len(PAGE))
        self.assertLess(counted["gzip_bytes_out"], 4 * len(PAGE) / 5)

    def test_images_parts_and_short_answers_stay_as_they_are(self):
        self.nginx_with(picture_gif=pattern(200_000), page_html=PAGE, short_html=PAGE[:1000])
        self.listen(groups=ONE_SERVER, gzip=True)
        for path, whole in (("/files/picture.gif", pattern(200_000)), ("/files/short.html", PAGE[:1000])):
            body, head = self.curl(path, "-H", "Accept-Encoding: gzip")
            self.assertEqual(body, whole)
            self.assertNotIn("content-encoding", head)
        body, head = self.curl("/files/page.html", "-H", "Accept-Encoding: gzip", "-r", "1000-1999")
        self.assertEqual(body, PAGE[1000:2000])
        self.assertNotIn("content-encoding", head)

    def test_a_page_that_comes_slowly_is_not_held_back(self):
        self.nginx_with(page_html=PAGE[:1_500_000])
        self.listen(groups=ONE_SERVER, gzip=True)
        with self.connect() as connection:
            connection.send("GET /slow/page.html HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
            self.assertIn(b"gzip", connection._until(b"\r\n\r\n"))
            decoder, read = zlib.decompressobj(wbits=31), b""
            while size := int(connection._until(b"\r\n"), 16):
                read += decoder.decompress(connection.take(size))
                connection.take(2)
            self.assertTrue(decoder.eof)
            self.assertEqual(read, PAGE[:1_500_000])

    def test_a_reload_switches_it_on_and_off(self):
        self.nginx_with(page_html=PAGE[:10_000])
        steelyard = self.listen(groups=ONE_SERVER)

        def is_compressed():
            return "content-encoding: gzip" in self.curl("/files/page.html", "--compressed")[1]

        self.assertFalse(is_compressed())
        for on in (True, False):
            listener = config.listener(80, "http", gzip=on)
            balancers = [config.load_balancer("shop", IPV4.vip(), listener)]
            steelyard.reload({**steelyard.document, "load_balancers": balancers})
            eventually(lambda: is_compressed() == on, f"gzip is {'on' if on else 'off'}")

    def test_a_client_that_goes_in_the_middle_leaves_nothing_behind(self):
        self.nginx_with(page_html=PAGE)
        steelyard = self.listen(groups=ONE_SERVER, gzip=True)
        request = "GET /files/page.html HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
        for _ in range(80):  # more than there are compressors
            with self.connect() as connection:
                connection.send(request)
                connection.take(200)
        eventually(lambda: steelyard.stats()["workers"][0]["http"]["exchanges"] == 0, "all requests have ended")
        read, head = self.curl("/files/page.html", "--compressed")
        self.assertEqual(read, PAGE)
        self.assertIn("content-encoding: gzip", head)
