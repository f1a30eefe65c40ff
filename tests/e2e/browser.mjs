// A person at a headless Chromium, for the tests of the browser login.
//
//     node browser.mjs CHROMIUM
//
// Each line of stdin is an order, each line of stdout what has come of it:
//
//     {"url": ..., "user": "alice", "cancel": false, "shots": "FOLDER/PREFIX"}
//     {"url": ..., "titles": [...], "text": ..., "outside": [...], "complaints": [...]}
//
// The person goes to the URL, fills in the authorization server's pages, or clicks on
// Cancel, until another page is there, of which pictures are taken: as it is, and on a
// phone that likes it dark. "outside" are requests that left this machine, "complaints"
// what the browser says about the last page. Cookies stay until stdin ends; then the
// profile, a folder beside this script, is removed.
import fs from 'node:fs';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);
const STEPS = 10;
const PATIENCE = 30_000; // milliseconds

const profile = fileURLToPath(new URL('profile', import.meta.url));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.argv[2],
  headless: true,
  viewport: { width: 1000, height: 700 },
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost',
  ],
});

/** Tell whether a page is one of the authorization server's that ask for something. */
function asks(page) {
  const { pathname } = new URL(page.url());
  return pathname.startsWith('/interaction/') || pathname === '/v2/logout';
}

/** Tell how a page can be read: the least contrast (WCAG 2), and whether it fits. */
function legibility() {
  const light = (color) => {
    const part = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [red, green, blue] = color.match(/[\d.]+/g).slice(0, 3).map((value) => part(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const paper = getComputedStyle(document.querySelector('main') ?? document.body).backgroundColor;
  const contrasts = [...document.querySelectorAll('h1, p')].map((element) => {
    const [low, high] = [getComputedStyle(element).color, paper].map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
  const fits = document.documentElement.scrollWidth <= window.innerWidth;
  return { paper: light(paper), contrast: Math.min(...contrasts), fits };
}

/** Do what it asks for. */
async function step(page, { user, cancel }) {
  if (cancel) return page.getByText('Cancel').click();
  const name = page.locator('input[name=login]');
  if (await name.count()) {
    await name.fill(user);
    await page.locator('input[name=password]').fill('not checked');
  }
  return page.locator('button[type=submit]').first().click();
}

async function visit({ shots, ...order }) {
  const page = await context.newPage();
  try {
    const outside = [];
    const complaints = [];
    page.on('request', (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (protocol !== 'data:' && !LOOPBACK.has(hostname)) outside.push(request.url());
    });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    const shoot = (name) => page.screenshot({ path: `${shots}-${name}.png` });

    const answer = await page.goto(order.url, { waitUntil: 'load' });
    if (!answer.ok()) throw new Error(await page.locator('body').innerText());
    const titles = [await page.title()];
    for (let i = 1; i < STEPS && asks(page); i += 1) {
      await shoot(`asked-${i}`);
      complaints.length = 0;
      const before = page.url();
      await step(page, order);
      await page.waitForURL((now) => now.href !== before, { waitUntil: 'load' });
      titles.push(await page.title());
    }
    await shoot('light');
    const looks = [await page.evaluate(legibility)];
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 390, height: 844 });
    await shoot('dark-phone');
    looks.push(await page.evaluate(legibility));
    const text = await page.locator('body').innerText();
    return { url: page.url(), titles, text, looks, outside, complaints };
  } finally {
    await page.close();
  }
}

context.setDefaultTimeout(PATIENCE);
console.log(JSON.stringify({ ready: true }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const answer = await visit(JSON.parse(line)).catch((error) => ({ failed: String(error) }));
  console.log(JSON.stringify(answer));
}
await context.close();
fs.rmSync(profile, { recursive: true });
