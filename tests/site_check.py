"""Look at the built site in headless Chromium: `python -m tests.site_check SITE [SCREENSHOTS]`.

Each page is opened from the file system, as wide as a desktop and as a phone, light and dark. Wrong
is: a body wider than its window, a request that fails or leaves the file system, text with less
contrast to what is behind it than WCAG asks for (4.5 to 1; large text 3 to 1), an image that does
not show or has no alternative text, an error in the console.
"""

import base64
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import websocket

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
LOOK = """(() => {
  const rgb = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const wrong = [], seen = new Set();
  const room = document.documentElement.clientWidth;
  document.querySelectorAll('details').forEach(d => d.open = true);
  if (document.documentElement.scrollWidth > room) wrong.push(
    `the body is ${document.documentElement.scrollWidth} wide, the window ${room}`);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, s = getComputedStyle(e), size = parseFloat(s.fontSize);
    if (!texts.currentNode.data.trim() || !e.getClientRects().length) continue;
    const [a, b] = [rgb(s.color), behind(e)].map(c => light(c.slice(0, 3))).sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const at = `${e.tagName.toLowerCase()}.${e.className} ${s.color}`;
    if (ratio < (size >= 24 || size >= 18.66 && s.fontWeight >= 600 ? 3 : 4.5) && !seen.has(at)) {
      seen.add(at);
      wrong.push(`contrast ${ratio.toFixed(1)} of ${at}: ${texts.currentNode.data.trim().slice(0, 40)}`); }
  }
  for (const i of document.images) {
    if (!i.alt) wrong.push(`no alternative text: ${i.src}`); }
  const shown = i => i.decode().catch(() => wrong.push(`not shown: ${i.src}`));
  return Promise.all([...document.images].map(shown)).then(() => wrong);
})()"""


def browser() -> str | None:
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


@contextlib.contextmanager
def tab():
    """A function that sends a command of the DevTools protocol to a page and returns the answer;
    and the events."""
    with tempfile.TemporaryDirectory() as home:
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
        ]
        flags += [
            "--remote-debugging-port=0",
            f"--user-data-dir={home}",
            "--remote-allow-origins=*",
            "about:blank",
        ]
        chromium = subprocess.Popen(
            [browser(), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            port = Path(home, "DevToolsActivePort")
            for _ in range(600):
                if port.exists() and len(port.read_text().split()) == 2:
                    break
                time.sleep(0.1)
            number, path = port.read_text().split()
            wire = websocket.create_connection(f"ws://127.0.0.1:{number}{path}", timeout=60)
            count, events, session = iter(range(1, 10**9)), [], {}

            def send(method: str, **params):
                number = next(count)
                wire.send(json.dumps({"id": number, "method": method, "params": params} | session))
                while (answer := json.loads(wire.recv())).get("id") != number:
                    events.append(answer)
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

            page = send("Target.createTarget", url="about:blank")["targetId"]
            session["sessionId"] = send("Target.attachToTarget", targetId=page, flatten=True)[
                "sessionId"
            ]
            for domain in ("Page", "Network", "Log", "Runtime"):
                send(f"{domain}.enable")
            yield send, events
            wire.close()
        finally:
            chromium.kill()
            chromium.wait()


def look(site: Path, pages: list[Path], shots: Path | None = None) -> list[str]:
    """What is wrong with pages (relative to `site`); a picture of each, whole, goes to the
    folder `shots`."""
    wrong = []
    with tab() as (send, events):
        for page in pages:
            for width, (across, down) in WIDTHS.items():
                for theme in ("light", "dark"):
                    events.clear()
                    screen = {
                        "width": across,
                        "height": down,
                        "deviceScaleFactor": 1,
                        "mobile": width == "phone",
                    }
                    send("Emulation.setDeviceMetricsOverride", **screen)
                    send(
                        "Emulation.setEmulatedMedia",
                        features=[{"name": "prefers-color-scheme", "value": theme}],
                    )
                    send("Page.navigate", url=(site / page).resolve().as_uri())
                    done = "new Promise(r => document.readyState == 'complete' ? r() : addEventListener('load', r))"
                    send("Runtime.evaluate", expression=done, awaitPromise=True)
                    if shots:
                        name = f"{page.with_suffix('').as_posix().replace('/', '_')}-{width}-{theme}.png"
                        size = send("Page.getLayoutMetrics")["cssContentSize"]
                        clip = {
                            "x": 0,
                            "y": 0,
                            "width": across,
                            "height": min(size["height"], 12_000),
                            "scale": 1,
                        }
                        picture = send(
                            "Page.captureScreenshot", captureBeyondViewport=True, clip=clip
                        )["data"]
                        (shots / name).write_bytes(base64.b64decode(picture))
                    answer = send(
                        "Runtime.evaluate", expression=LOOK, awaitPromise=True, returnByValue=True
                    )
                    told = answer["result"]["value"]
                    for event in events:
                        method, params = event.get("method"), event.get("params", {})
                        url = params.get("request", {}).get("url", "file:")
                        if method == "Network.loadingFailed" and not params.get("canceled"):
                            told.append(f"a request failed: {params['errorText']}")
                        if method == "Network.requestWillBeSent" and not url.startswith(
                            ("file:", "data:")
                        ):
                            told.append(f"a request leaves the file system: {url}")
                        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
                            told.append(params["entry"]["text"])
                    wrong += [f"{page}, {width}, {theme}: {line}" for line in told]
    return wrong


def chosen(site: Path) -> list[Path]:
    """Every page but the runs, and of each study the first run's."""
    pages = sorted(path.relative_to(site) for path in site.rglob("*.html"))
    runs = {page.parent: page for page in reversed(pages) if page.parent.name == "runs"}
    return [page for page in pages if page.parent.name != "runs"] + list(runs.values())


if __name__ == "__main__":
    if not browser():
        sys.exit("There is no Chromium here; on Debian or Ubuntu: apt install chromium")
    folder, shots = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    found = look(folder, chosen(folder), shots)
    print("\n".join(found))
    print(
        f"{len(chosen(folder))} pages, {len(WIDTHS)} widths, light and dark: {len(found)} things are wrong"
    )
    sys.exit(bool(found))
