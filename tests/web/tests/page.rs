//! The page of `lamplighter demo` in headless Chromium: what a finger does, seen again over the API.
//! Pictures are kept in the target directory.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::PathBuf, process::Command};

use lamplighter_web::{Browser, Program};
use serde_json::Value as Json;

#[test]
fn a_person_switches_lamps_group_and_set_point_by_touch() {
    let (_demo, link) = Program::start(
        Command::new(binary()).args(["demo", "--http", "127.0.0.1:0"]),
        "page: ",
    );
    let browser = Browser::start();
    browser.resize(1280, 1100);
    browser.open(&link);
    browser.until("document.querySelectorAll('.tile').length >= 8");
    browser.until("document.querySelector('.server.registered')");
    browser.until("[...document.querySelectorAll('.tile')].every((tile) => !tile.classList.contains('doubtful'))");
    browser.until("document.querySelector('.lead .digits').textContent !== '–'");
    browser.until(
        "document.querySelector('[data-rule=sign]').textContent.startsWith('By schedule: o')",
    );
    keep("page-desktop.png", &browser.screenshot());

    a_lamp_follows_its_tile(&browser);
    the_group_follows_its_switch(&browser);
    a_locked_group_stays_off(&browser);
    the_set_point_follows_its_keys(&browser);
    the_same_goes_through_the_server(&browser);
    bearers_are_shown_and_chosen(&browser);

    browser.resize(390, 844);
    keep("page-phone.png", &browser.screenshot());
    keep("page-phone-long.png", &browser.long_screenshot());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    the_door_is_closed_again(&browser, &link);
}

fn a_lamp_follows_its_tile(browser: &Browser) {
    let name = browser.run("return document.querySelector('.tile').dataset.point");
    let name = name.as_str().unwrap();
    let before = is_on(browser, name);
    browser.click(".tile");
    browser.until(&format!(
        "document.querySelector('.tile').getAttribute('aria-pressed') === '{}'",
        !before
    ));
    assert_eq!(is_on(browser, name), !before);
    browser.click(".tile");
    browser.until(&format!(
        "document.querySelector('.tile').getAttribute('aria-pressed') === '{before}'"
    ));
    assert_eq!(is_on(browser, name), before);
}

/// The group is on; after the lock it is again.
fn a_locked_group_stays_off(browser: &Browser) {
    let tiles = |on: bool| {
        browser.until(&format!(
            "[...document.querySelector('.group').querySelectorAll('.tile')]
                .every((tile) => tile.getAttribute('aria-pressed') === '{on}')"
        ));
    };
    browser.click("[data-lock]");
    tiles(false);
    browser.until("document.querySelector('[data-lock]').textContent === 'Unlock'");
    browser.until(
        "document.querySelector('#problems').textContent.includes('locked for maintenance')",
    );
    browser.click("[data-lock]");
    tiles(true);
    browser.until("document.querySelector('[data-lock]').textContent === 'Lock'");
}

fn the_group_follows_its_switch(browser: &Browser) {
    for on in [true, false, true] {
        browser.click(&format!(".either [data-value='{on}']"));
        browser.until(&format!(
            "[...document.querySelector('.group').querySelectorAll('.tile')]
                .every((tile) => tile.getAttribute('aria-pressed') === '{on}')"
        ));
        browser.until(&format!(
            "document.querySelector(\".either [data-value='{on}'][aria-pressed='true']\")"
        ));
        let groups = browser.run("return fetch('/api/v1/status').then((answer) => answer.json())")
            ["groups"]
            .take();
        assert_eq!(groups[0]["state"], if on { "on" } else { "off" });
    }
}

fn the_set_point_follows_its_keys(browser: &Browser) {
    let name = browser.run("return document.querySelector('.setter .digits').dataset.valueOf");
    let name = name.as_str().unwrap();
    let before = read(browser, name)["value"].as_f64().unwrap();
    browser.click(".setter .key:last-child");
    browser.click(".setter .key:last-child");
    browser.until("document.querySelector('.setter.pending')");
    browser.until("!document.querySelector('.setter.pending')");
    let after = read(browser, name)["value"].as_f64().unwrap();
    assert!(after > before, "{before} {after}");
}

fn the_same_goes_through_the_server(browser: &Browser) {
    browser.click("#through");
    browser.until("document.querySelector('.demo p').textContent.includes('by LwM2M')");
    let name = browser.run("return document.querySelector('.tile').dataset.point");
    let before = is_on(browser, name.as_str().unwrap());
    browser.click(".tile");
    browser.until("document.querySelector('.log .code')?.textContent.startsWith('2.')");
    browser.until(&format!(
        "document.querySelector('.tile').getAttribute('aria-pressed') === '{}'",
        !before
    ));
    assert_eq!(is_on(browser, name.as_str().unwrap()), !before);
    browser.run("window.scrollTo(0, 0)");
    keep("page-through-the-server.png", &browser.screenshot());
}

/// Two bearers as a configured box would tell them; the demo only sees those of this machine.
fn bearers_are_shown_and_chosen(browser: &Browser) {
    browser.run(
        "window.posted = [];
        window.fetch = ((real) => (path, how) => {
            if (how?.method !== 'POST') { return real(path, how); }
            window.posted.push(`${path} ${how.body ?? ''}`);
            return Promise.resolve(new Response('{\"result\":\"done\"}'));
        })(window.fetch);
        const bearer = (name, more) => ({ name, kind: 'ethernet', interface: `${name}0`, status: 'connected', reason: null,
            since: null, since_s: 61, current: false, round_trip_ms: null, address: null, metered: false,
            bytes_today: 0, bytes_month: 0, flaps: 0, signal_dbm: null, operator: null, trouble: null, ...more });
        const bearers = [
            bearer('lan', { current: true, round_trip_ms: 41.5, address: '192.0.2.7', bytes_today: 1200, bytes_month: 34000 }),
            bearer('cell', { kind: 'cellular', signal_dbm: -97, metered: true }),
            bearer('<b>phone', { status: 'disconnected', reason: 'no-link' }),
        ];
        const choice = { configured: true, mode: 'auto', bearer: null, ends_in_s: null, trial_left_s: null };
        window.showBearers = (more) => import('/bearers.js').then(({ bearerSection }) => {
            const section = bearerSection({ bearers, bearer_choice: { ...choice, ...more } }, { age: () => '1 min', toast: () => {} });
            document.querySelector('#demo').replaceChildren(...section);
        });
        return window.showBearers({});",
    );
    let row = |name: &str| {
        let row = format!("document.querySelector('[data-bearer=\"{name}\"]').innerText");
        browser.run(&format!("return {row}"))
    };
    let (lan, cell) = (row("lan"), row("cell"));
    let (lan, cell) = (lan.as_str().unwrap(), cell.as_str().unwrap());
    for words in [
        "in use",
        "Connected",
        "42 ms",
        "192.0.2.7",
        "1.2 kB",
        "34.0 kB",
    ] {
        assert!(lan.contains(words), "{words}: {lan}");
    }
    assert!(cell.contains("\u{2212}97 dBm"), "{cell}");
    assert!(row("<b>phone").as_str().unwrap().contains("no link"));
    let uses = "return document.querySelectorAll('#demo [data-bearers=use]').length";
    assert_eq!(
        browser.run(uses),
        1,
        "neither the one in use nor one that is lost"
    );
    browser.click("#demo [data-bearers=use]");
    browser.click("#demo [data-bearers=offline]");
    browser.run("return window.showBearers({ mode: 'use', bearer: 'cell', trial_left_s: 600 })");
    let words = browser.run("return document.querySelector('#demo [data-choice]').textContent");
    assert_eq!(words, "cell is used by hand, on trial for another 10 min");
    browser.click("#demo [data-bearers=auto]");
    browser.run("return window.showBearers({ mode: 'offline', ends_in_s: 7200 })");
    browser.click("#demo [data-bearers=online]");
    keep("page-bearers.png", &browser.screenshot());
    let posted = [
        "/api/v1/bearers/cell/use {}",
        "/api/v1/offline {\"for_s\":7200}",
        "/api/v1/bearers/auto {}",
        "/api/v1/online {}",
    ];
    assert_eq!(
        browser.run("return window.posted"),
        serde_json::json!(posted)
    );
    browser.run("location.reload()");
    browser.until("document.querySelector('.server.registered')");
}

fn the_door_is_closed_again(browser: &Browser, link: &str) {
    browser.click("#leave");
    browser.until("document.querySelector('#login')");
    browser.open(link);
    browser.until("document.querySelector('#login')");
    keep("page-login.png", &browser.screenshot());
}

/// The measured state, as the box itself reads it.
fn is_on(browser: &Browser, name: &str) -> bool {
    read(browser, name)["point"]["on"].as_bool().unwrap()
}

fn read(browser: &Browser, name: &str) -> Json {
    browser.run(&format!(
        "return fetch('/api/v1/objects/{name}').then((answer) => answer.json())"
    ))
}

fn keep(name: &str, png: &[u8]) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    fs::File::create(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, png))
        .unwrap();
}

/// `LAMPLIGHTER_BIN`, or the binary that was built beside this test.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LAMPLIGHTER_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("lamplighter");
    assert!(path.exists(), "build it first: cargo build -p lamplighter");
    path
}
