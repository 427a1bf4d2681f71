"""Look at the built site in headless Chromium: `python -m tests.site_check SITE [SCREENSHOTS]`.

Each page is opened from the file system, as wide as a desktop and as a phone, light and dark. Wrong
is: a body wider than its window, a request that fails or leaves the file system, text with less
contrast to what is behind it than WCAG asks for (4.5 to 1; large text 3 to 1), an image that does
not show or has no alternative text, an error in the console, a dialog.
"""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import websocket

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
LOADED = "new Promise(r => document.readyState == 'complete' ? r() : addEventListener('load', r))"
LOOK = """(() => {
  const rgb = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.map(linear);
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const wrong = [], seen = new Set();
  const room = document.documentElement.clientWidth;
  document.querySelectorAll('details').forEach(d => d.open = true);
  if (document.documentElement.scrollWidth > room) wrong.push(
    `the body is ${document.documentElement.scrollWidth} wide, the window ${room}`);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, s = getComputedStyle(e);
    const size = parseFloat(s.fontSize), words = texts.currentNode.data.trim();
    if (!words || !e.getClientRects().length) continue;
    const [a, b] = [rgb(s.color), behind(e)].map(c => light(c.slice(0, 3))).sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const at = `${e.tagName.toLowerCase()}.${e.className} ${s.color}`;
    if (ratio < (size >= 24 || size >= 18.66 && s.fontWeight >= 600 ? 3 : 4.5) && !seen.has(at)) {
      seen.add(at);
      wrong.push(`contrast ${ratio.toFixed(1)} of ${at}: ${words.slice(0, 40)}`); }
  }
  for (const i of document.images) {
    if (!i.alt) wrong.push(`no alternative text: ${i.src}`); }
  const shown = i => i.decode().catch(() => wrong.push(`not shown: ${i.src}`));
  return Promise.all([...document.images].map(shown)).then(() => wrong);
})()"""


def browser() -> str | None:
    """The command of a Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Tab:
    """A page of a browser, spoken to by the DevTools protocol over a web socket."""

    def __init__(self, wire):
        self.wire = wire
        self.events: list[dict] = []  # that came between answers
        self.numbers = itertools.count(1)
        self.session: dict = {}

    def send(self, method: str, **params) -> dict:
        """The answer to a command. Raises RuntimeError."""
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": params} | self.session
        self.wire.send(json.dumps(command))
        answer = json.loads(self.wire.recv())
        while answer.get("id") != number:
            self.events.append(answer)
            if answer.get("method") == "Page.javascriptDialogOpening":  # which all waits for
                close = {"method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                self.wire.send(json.dumps({"id": next(self.numbers)} | close | self.session))
            answer = json.loads(self.wire.recv())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def evaluate(self, script: str):
        """The value of a JavaScript expression, or what its promise gives."""
        options = {"awaitPromise": True, "returnByValue": True}
        return self.send("Runtime.evaluate", expression=script, **options)["result"].get("value")


@contextlib.contextmanager
def open_tab():
    """A tab of a headless browser, which ends with the context."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        flags = [*FLAGS, f"--user-data-dir={home}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        chromium = subprocess.Popen([browser(), *flags], **quiet)
        try:
            wire = websocket.create_connection(socket_of(Path(home)), timeout=60)
            tab = Tab(wire)
            page = tab.send("Target.createTarget", url="about:blank")["targetId"]
            attached = tab.send("Target.attachToTarget", targetId=page, flatten=True)
            tab.session["sessionId"] = attached["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                tab.send(f"{domain}.enable")
            yield tab
            wire.send(json.dumps({"id": 0, "method": "Browser.close"}))
            with contextlib.suppress(subprocess.TimeoutExpired):
                chromium.wait(10)  # its processes still write to the folder
            wire.close()
        finally:
            chromium.kill()
            chromium.wait()


def socket_of(home: Path) -> str:
    """The address that a browser listens on, as soon as it says so in its folder."""
    file = home / "DevToolsActivePort"
    for _ in range(600):
        if file.exists() and len(file.read_text().split()) == 2:
            break
        time.sleep(0.1)
    number, path = file.read_text().split()
    return f"ws://127.0.0.1:{number}{path}"


def look(site: Path, pages: list[Path], shots: Path | None = None) -> list[str]:
    """What is wrong with pages (relative to `site`); a picture of each, whole, goes to the
    folder `shots`."""
    wrong = []
    with open_tab() as tab:
        for page, width, theme in itertools.product(pages, WIDTHS, ("light", "dark")):
            show(tab, site / page, width, theme)
            if shots:
                name = page.with_suffix("").as_posix().replace("/", "_")
                take_picture(tab, shots / f"{name}-{width}-{theme}.png", width)
            lines = tab.evaluate(LOOK) + wrong_events(tab.events)
            wrong += [f"{page}, {width}, {theme}: {line}" for line in lines]
    return wrong


def show(tab: Tab, page: Path, width: str, theme: str) -> None:
    """Load a page, as wide and in the colours that are asked for."""
    tab.events.clear()
    across, down = WIDTHS[width]
    screen = {"width": across, "height": down, "deviceScaleFactor": 1, "mobile": width == "phone"}
    tab.send("Emulation.setDeviceMetricsOverride", **screen)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    tab.send("Emulation.setEmulatedMedia", features=features)
    tab.send("Page.navigate", url=page.resolve().as_uri())
    tab.evaluate(LOADED)


def take_picture(tab: Tab, file: Path, width: str) -> None:
    """Write the whole page that is shown as a picture."""
    height = tab.send("Page.getLayoutMetrics")["cssContentSize"]["height"]
    clip = {"x": 0, "y": 0, "width": WIDTHS[width][0], "height": min(height, 12_000), "scale": 1}
    picture = tab.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    file.write_bytes(base64.b64decode(picture["data"]))


def wrong_events(events: list[dict]) -> list[str]:
    """What a browser reports that a page must not do."""
    wrong = []
    for event in events:
        method, params = event.get("method"), event.get("params", {})
        url = params.get("request", {}).get("url", "file:")
        if method == "Network.loadingFailed" and not params.get("canceled"):
            wrong.append(f"a request failed: {params['errorText']}")
        if method == "Network.requestWillBeSent" and not url.startswith(("file:", "data:")):
            wrong.append(f"a request leaves the file system: {url}")
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            wrong.append(params["entry"]["text"])
        if method == "Runtime.consoleAPICalled" and params["type"] == "error":
            wrong.append(f"an error in the console: {params['args']}")
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            wrong.append(details.get("exception", {}).get("description", details["text"]))
        if method == "Page.javascriptDialogOpening":
            wrong.append(f"a dialog: {params['message']}")
    return wrong


def chosen(site: Path) -> list[Path]:
    """Every page but the runs, and of each study the first run's."""
    pages = sorted(path.relative_to(site) for path in site.rglob("*.html"))
    runs = {page.parent: page for page in reversed(pages) if page.parent.name == "runs"}
    return [page for page in pages if page.parent.name != "runs"] + list(runs.values())


def main(site: Path, shots: Path | None = None) -> None:
    """Look at a site; the status says whether anything is wrong."""
    if not browser():
        sys.exit("There is no Chromium here; on Debian or Ubuntu: apt install chromium")
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    pages = chosen(site)
    wrong = look(site, pages, shots)
    print("\n".join(wrong))
    views = f"{len(pages)} pages, {len(WIDTHS)} widths, light and dark"
    print(f"{views}: {len(wrong)} things are wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
